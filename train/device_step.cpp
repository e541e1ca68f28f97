#include "train/device_step.h"

#include "core/log.h"
#include "train/model_state.h"

namespace lathe {
namespace {

/// Steps before one is recorded: the first initialises, the second finds the memory of the first.
constexpr int64_t kWarmUp = 2;
/// Figures on their way: enough to never wait, few enough to notice soon that a run diverged.
constexpr size_t kMostPending = 16;

bool same_layout(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].shape() != b[i].shape() || a[i].dtype() != b[i].dtype()) return false;
  }
  return true;
}

std::vector<Tensor> made_like(const std::vector<Tensor>& tensors, Device device) {
  std::vector<Tensor> made;
  for (const Tensor& tensor : tensors) made.push_back(Tensor::empty(tensor.shape(), tensor.dtype(), device));
  return made;
}

}  // namespace

/// A step as it was recorded; a launch writes these tensors anew.
struct DeviceStep::Recorded {
  std::unique_ptr<StepGraph> graph;
  Tensor loss;
  std::vector<std::pair<Parameter*, Tensor>> gradients;
  Batch batch;  // what it reads
};

DeviceStep::DeviceStep(Model& model, bool record, DeviceImages* images)
    : model_(model),
      device_(model.device()),
      may_record_(record && device_.type == DeviceType::Cuda),
      images_(images) {}

DeviceStep::~DeviceStep() = default;

/// Outside of what is recorded: an epoch's augmentations are no function of the step.
const Batch& DeviceStep::make(const Tensor& indices) {
  const int64_t size = indices.numel();
  if (recorded_ && recorded_->batch.size == size) {
    there_ = recorded_->batch;
  } else if (there_.size != size) {
    there_ = images_->allocate(size);
    alike_ = 0;
  }
  images_->load(there_, indices);
  return there_;
}

const Batch& DeviceStep::bring(const Batch& batch) {
  if (images_ != nullptr) return make(batch.inputs.at(0));
  if (on_host() || batch.inputs.at(0).device() == device_) return batch;
  if (recorded_ && same_layout(recorded_->batch.inputs, batch.inputs) &&
      same_layout(recorded_->batch.targets, batch.targets)) {
    there_ = recorded_->batch;
  } else if (!same_layout(there_.inputs, batch.inputs) || !same_layout(there_.targets, batch.targets)) {
    there_ = {made_like(batch.inputs, device_), made_like(batch.targets, device_), batch.size};
    alike_ = 0;
  }
  const size_t tensors = batch.inputs.size() + batch.targets.size();
  while (uploads_.size() < tensors) uploads_.emplace_back(device_);
  size_t next = 0;
  for (size_t i = 0; i < batch.inputs.size(); ++i) uploads_[next++](there_.inputs[i], batch.inputs[i]);
  for (size_t i = 0; i < batch.targets.size(); ++i) uploads_[next++](there_.targets[i], batch.targets[i]);
  return there_;
}

Tensor DeviceStep::run(const Batch& batch, uint32_t step, bool steady,
                       const std::function<Tensor(const Batch&)>& differentiate) {
  const Batch& there = bring(batch);
  ++alike_;
  const bool fits = recorded_ && there.inputs[0].shares_storage(recorded_->batch.inputs[0]);
  const bool now = may_record_ && steady && recorded_ == nullptr && alike_ > kWarmUp;
  if (!fits && !(now && record(there, step, differentiate))) return differentiate(there);
  recorded_->graph->launch(step);
  ++launches_;
  for (const auto& [parameter, gradient] : recorded_->gradients) parameter->raw().grad() = gradient;
  return recorded_->loss;
}

bool DeviceStep::record(const Batch& batch, uint32_t step,
                        const std::function<Tensor(const Batch&)>& differentiate) {
  auto recorded = std::make_unique<Recorded>();
  recorded->batch = batch;
  try {
    recorded->graph = StepGraph::record(device_, step, [&] { recorded->loss = differentiate(batch); });
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Cuda && error.kind() != ErrorKind::NotImplemented) throw;
    log_warning("training steps are not recorded, each is launched op by op: ", error.what());
    may_record_ = false;
    ++model_.run().forward;  // what was half done is no part of the step
    for (Parameter* parameter : unique_parameters(model_)) parameter->raw().grad() = Tensor();
    return false;
  }
  for (Parameter* parameter : unique_parameters(model_)) {
    const Tensor& gradient = parameter->raw().grad();
    if (gradient.defined()) recorded->gradients.emplace_back(parameter, gradient);
  }
  recorded_ = std::move(recorded);
  return true;
}

size_t DeviceStep::recorded_bytes() const {
  return recorded_ == nullptr ? 0 : recorded_->graph->bytes();
}

void DeviceStep::forget() {
  recorded_.reset();
  alike_ = 0;
}

void DeviceStep::queue(StepFigure figure, const Tensor& from) {
  if (idle_.empty()) idle_.emplace_back(device_);
  Download download = std::move(idle_.back());
  idle_.pop_back();
  download.start(from);
  figures_.emplace_back(figure, std::move(download));
}

std::optional<StepFigure> DeviceStep::next_figure(bool wait) {
  if (figures_.empty()) return {};
  auto& [figure, download] = figures_.front();
  if (!wait && figures_.size() < kMostPending && !download.ready()) return {};
  StepFigure settled = figure;
  settled.value = download.value();
  idle_.push_back(std::move(download));
  figures_.pop_front();
  return settled;
}

}  // namespace lathe
