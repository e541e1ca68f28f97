#pragma once
// How a training step meets its device: batches go there without stalling it, losses come back when they are
// there, and a step that is the same each time is recorded once and launched as a whole.

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/batch.h"
#include "core/step_graph.h"
#include "core/transfer.h"
#include "data/device_images.h"
#include "layers/model.h"
#include "layers/parameter.h"

namespace lathe {

/// A number of a step: its loss, or the squared norm of gradients under a limit.
struct StepFigure {
  enum class Kind : uint8_t { Loss, SquaredNorm };
  Kind kind = Kind::Loss;
  int64_t step = 0;
  int64_t samples = 0;
  double value = 0;
};

/// On the host all of it is plain: the batch is the batch, a loss is there at once, nothing is recorded.
class DeviceStep {
 public:
  /// `record`: whether steps may be recorded; on the host they never are. With `images`, on the model's
  /// device and longer there than this, batches come as numbers of samples (LoaderOptions::indices).
  DeviceStep(Model& model, bool record, DeviceImages* images = nullptr);
  DeviceStep(const DeviceStep&) = delete;
  DeviceStep& operator=(const DeviceStep&) = delete;
  ~DeviceStep();

  bool on_host() const { return device_.type == DeviceType::Cpu; }

  /// Forward and backward of `batch` as step `step`: `differentiate` gets it on the device and returns the
  /// loss, the gradients are in the parameters. A batch that lies there already is taken as it is, and a
  /// recorded step reads the one it was recorded with. The first steps run it as they come; once `steady`,
  /// one is recorded, and later ones of the same shapes launch that.
  Tensor run(const Batch& batch, uint32_t step, bool steady,
             const std::function<Tensor(const Batch&)>& differentiate);
  /// Forgets what was recorded: parameters have other memory now.
  void forget();
  /// Steps that launched a recorded one.
  int64_t launches() const { return launches_; }
  /// Memory that the recorded step keeps to itself; 0 without one.
  size_t recorded_bytes() const;

  /// Sends for a figure; its value is `from`'s.
  void queue(StepFigure figure, const Tensor& from);
  /// The oldest figure if it is there, or, with `wait`, the oldest; empty when there is none. When many are
  /// on their way, the oldest is waited for.
  std::optional<StepFigure> next_figure(bool wait);
  bool figures_pending() const { return !figures_.empty(); }

 private:
  struct Recorded;

  const Batch& bring(const Batch& batch);
  const Batch& make(const Tensor& indices);
  /// False, saying why in a warning, when this step cannot be recorded.
  bool record(const Batch& batch, uint32_t step, const std::function<Tensor(const Batch&)>& differentiate);

  Model& model_;
  Device device_;
  bool may_record_;
  DeviceImages* images_;
  std::vector<Upload> uploads_;
  Batch there_;        // keeps its memory from step to step: recorded steps read it
  int64_t alike_ = 0;  // steps of these shapes in a row
  std::unique_ptr<Recorded> recorded_;
  int64_t launches_ = 0;
  std::deque<std::pair<StepFigure, Download>> figures_;
  std::vector<Download> idle_;
};

}  // namespace lathe
