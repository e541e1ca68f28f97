#pragma once
// A sweep run: every point trained or quantized, evaluated from its packed file, in one table.

#include <atomic>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "train/config/sweep_file.h"
#include "train/hooks.h"

namespace lathe {

/// A point's figures, all of them read from its packed file.
struct SweepRow {
  std::string name;
  std::string error;  ///< of a point that diverged, or whose source did; it has no figures
  std::string file;   ///< the packed file
  std::string hash;   ///< of its content
  std::string metric;
  std::optional<double> value;  ///< none where it is not finite
  int64_t size_bytes = 0, float_bytes = 0;
  double avg_bits = 0;  ///< of quantized parameters; 0 where nothing is quantized
  double sparsity = 0;
  Value relative_bops = Value::object();  ///< by convention
  double seconds = 0;                     ///< of training; 0 for a point that was not trained
  bool on_front = false;                  ///< no other point is both better and smaller
  void fields(FieldVisitor& v);
};

struct SweepRequest {
  std::filesystem::path folder;  ///< takes a folder or a packed file for each point, and table.json
  std::vector<TrainObserver*> observers;
  const std::atomic<bool>* stop = nullptr;
  std::function<void(size_t index, size_t count, const SweepPoint& point)> on_point;
};

/// Reads every point's experiment or quantizers, trains nothing. Errors name the point.
void check_sweep(const Sweep& sweep);

/// Makes the points that are not there yet, in their order, and goes on with one that was interrupted. A
/// point that diverges is a row with an error, as is one made from its weights; the sweep goes on. table.json
/// is rewritten after every point.
/// Errors as of run_experiment(), naming the point; ConfigError where a point that is there began from other
/// weights.
std::vector<SweepRow> run_sweep(const Sweep& sweep, const SweepRequest& request);

/// Marks the rows that no other row beats in both metric and size. Rows without a value take no part.
void mark_front(std::vector<SweepRow>& rows);
/// Larger is better: accuracies and signal ratios, not losses and perplexities.
bool larger_is_better(std::string_view metric);

Value to_value(const std::vector<SweepRow>& rows);

}  // namespace lathe
