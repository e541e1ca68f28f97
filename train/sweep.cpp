#include "train/sweep.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/json.h"
#include "quant/activation.h"
#include "quant/attach.h"
#include "train/config/identity.h"
#include "train/evaluate.h"
#include "train/packing.h"
#include "train/run.h"
#include "train/run_folder.h"
#include "train/saved_run.h"
#include "train/stored_cost.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

/// What sweep.json says of the weights that a point began from. Versions that hashed files alone left the
/// hash of a run's folder empty.
struct PointInit {
  std::string init;       ///< as the point names them; empty: none
  std::string init_hash;  ///< of the weights
  void fields(FieldVisitor& v) {
    v.visit("init", init, {.doc = "a run or a file; empty: none"});
    v.visit("init_hash", init_hash, {.doc = "of its weights", .required = true});
  }
  bool same(const PointInit& other) const {
    const bool unknown = init_hash.empty() && !init.empty();
    return unknown ? init == other.init : init_hash == other.init_hash;
  }
};

PointInit init_of(const SweepPoint& point) {
  return {point.init, point.init.empty() ? std::string() : hash_of_weights(point.init)};
}

bool is_done(const RunPaths& paths) {
  if (!paths.has_run() || !fs::exists(paths.status()) || !fs::exists(paths.packed())) return false;
  const Value status = read_run_file(paths.status());
  const Value* word = status.find("status");
  return word != nullptr && word->is(Value::Type::String) && word->as_string() == "done";
}

/// Errors of `work` name the point.
template <class Work>
auto at_point(const SweepPoint& point, const Work& work) {
  try {
    return work();
  } catch (Error& error) {
    error.prepend(concat("point ", point.name, ": "));
    throw;
  }
}

class SweepRunner {
 public:
  SweepRunner(const Sweep& sweep, const SweepRequest& request) : sweep_(sweep), request_(request) {
    check_sweep(sweep);  // before hours of training
    fs::create_directories(request.folder);
    begun_ = read_object(begun_path());
    const Value before = read_object(table_path());
    if (const Value* rows = before.find("rows")) {
      for (size_t i = 0; i < rows->items().size(); ++i) {
        SweepRow row;
        read_fields(row, rows->items()[i], (FieldPath{table_path().string(), ""} / "rows")[i]);
        known_.push_back(std::move(row));
      }
    }
  }

  std::vector<SweepRow> run() {
    for (size_t i = 0; i < sweep_.points.size(); ++i) {
      const SweepPoint& point = sweep_.points[i];
      if (request_.on_point) request_.on_point(i, sweep_.points.size(), point);
      rows_.push_back(at_point(point, [&] { return make(point); }));
      mark_front(rows_);
      write_atomic(table_path(), to_json(to_value(rows_), 2) + "\n");
    }
    return std::move(rows_);
  }

 private:
  fs::path table_path() const { return request_.folder / "table.json"; }
  fs::path begun_path() const { return request_.folder / "sweep.json"; }

  static Value read_object(const fs::path& path) {
    return fs::exists(path) ? read_run_file(path) : Value::object();
  }

  SweepRow make(const SweepPoint& point) {
    SweepRow row;
    row.name = point.name;
    if (diverged(point.from)) {
      row.error = concat("its source ", point.from, " diverged");
      return row;
    }
    try {
      row.file = (point.trained() ? train(point) : quantize(point)).string();
    } catch (const DivergedError& error) {
      row.error = error.what();
      return row;
    }
    row.hash = hash_file(row.file);
    for (const SweepRow& known : known_) {
      if (known.name == row.name && known.hash == row.hash) return with_file(known, row.file);
    }
    evaluate_file(row);
    if (point.trained()) row.seconds = seconds_of(request_.folder / point.name);
    return row;
  }

  /// Whether the point above of this name has no weights; none has the empty name.
  bool diverged(std::string_view name) const {
    return std::any_of(rows_.begin(), rows_.end(),
                       [&](const SweepRow& row) { return row.name == name && !row.error.empty(); });
  }

  static SweepRow with_file(SweepRow row, const std::string& file) {
    row.file = file;
    return row;
  }

  fs::path train(const SweepPoint& point) {
    const RunPaths paths{request_.folder / point.name};
    const Experiment experiment = load_experiment(point.experiment, point.sets);
    remember_init(point, paths);
    if (is_done(paths)) {
      // Read again, so that options which came later have their defaults.
      const Experiment before = load_experiment(paths.resolved());
      check_same_experiment(resolve_experiment(before), resolve_experiment(experiment), paths.folder);
      return paths.packed();
    }
    RunRequest run;
    run.folder = paths.folder;
    run.resume = fs::exists(paths.folder);  // killed at any moment
    run.init = point.init;
    if (!point.init.empty()) run.initialise = initialiser(point.init);
    run.observers = request_.observers;
    run.stop = request_.stop;
    run.how_to_go_on = "the same command again goes on";
    run_experiment(experiment, run);
    return paths.packed();
  }

  /// Refuses to go on with a point that began from other weights.
  void remember_init(const SweepPoint& point, const RunPaths& paths) {
    const PointInit now = init_of(point);
    const Value* known = fs::exists(paths.folder) ? begun_.find(point.name) : nullptr;
    if (known != nullptr) {
      PointInit before;
      read_fields(before, *known, FieldPath{begun_path().string(), ""} / point.name);
      LATHE_CHECK(ConfigError, before.same(now), paths.folder.string(),
                  ": the point began from other weights (", before.init.empty() ? "none" : before.init,
                  "), found ", now.init.empty() ? "none" : now.init,
                  "; expected those, or another folder with --out");
      return;
    }
    begun_.set(point.name, write_fields(now));
    write_atomic(begun_path(), to_json(begun_, 2) + "\n");
  }

  fs::path quantize(const SweepPoint& point) {
    const SavedRun run = open_run(request_.folder / point.from);
    const fs::path file = request_.folder / (point.name + ".lathe");
    const FieldPath where = point.where / "quant";
    const std::unique_ptr<Model> model = quantize_run(run, point.quant, where);
    PackedHeader header = header_of(run);
    header.name = point.name;
    header.quant = resolve_quant(point.quant, where);
    write_packed(file, pack_model(to_value(header), *model));
    return file;
  }

  static void evaluate_file(SweepRow& row) {
    const SavedRun run = open_run(row.file);
    const auto split =
        evaluation_split(run.data, run.where / "data", "test", static_cast<uint64_t>(run.seed));
    const DataCommon common = read_data_common(run.data, run.where / "data");
    const std::unique_ptr<Model> model = load_run_model(run);
    const std::unique_ptr<Task> task = run_task(run, split->info());
    const MathModeScope math(run.math);
    const EvaluationResult result = evaluate(*model, *task, *split, common.eval_batch.value_or(common.batch));
    const ModelInfo info = describe_model(run.model, run.where / "model", split->info().sample);
    const StoredCost cost = stored_cost(read_packed(row.file), info, activation_bits(*model));
    const double* value = find_metric(result.metrics, task->metric());
    row.metric = task->metric();
    if (value != nullptr && std::isfinite(*value)) row.value = *value;
    row.size_bytes = static_cast<int64_t>(fs::file_size(row.file));
    row.float_bytes = info.float_bytes;
    row.avg_bits = cost.avg_bits;
    row.sparsity = cost.sparsity;
    row.relative_bops = by_convention(cost.relative_bops);
  }

  static double seconds_of(const fs::path& folder) {
    const Value summary = read_run_file(RunPaths{folder}.summary());
    const Value* seconds = summary.find("seconds");
    return seconds != nullptr && seconds->is_number() ? seconds->as_real() : 0;
  }

  const Sweep& sweep_;
  const SweepRequest& request_;
  Value begun_;                  // sweep.json
  std::vector<SweepRow> known_;  // of an earlier call
  std::vector<SweepRow> rows_;
};

/// Of two rows with a value.
bool beats(const SweepRow& a, const SweepRow& b) {
  const bool larger = larger_is_better(a.metric);
  const double gain = larger ? *a.value - *b.value : *b.value - *a.value;
  return gain >= 0 && a.size_bytes <= b.size_bytes && (gain > 0 || a.size_bytes < b.size_bytes);
}

}  // namespace

void SweepRow::fields(FieldVisitor& v) {
  v.visit("name", name, {.doc = "of the point"});
  v.visit("error", error, {.doc = "why it has no figures"});
  v.visit("file", file, {.doc = "the packed file"});
  v.visit("hash", hash, {.doc = "of the packed file"});
  v.visit("metric", metric, {.doc = "what value is"});
  v.visit("value", value, {.doc = "on the test split, of the packed file; null: it is not finite"});
  v.visit("size_bytes", size_bytes, {.doc = "of the packed file"});
  v.visit("float_bytes", float_bytes, {.doc = "of the parameters in float32"});
  v.visit("avg_bits", avg_bits, {.doc = "of quantized parameters"});
  v.visit("sparsity", sparsity, {.doc = "share of them that is 0"});
  v.visit("relative_bops", relative_bops, {.doc = "by convention"});
  v.visit("seconds", seconds, {.doc = "of training"});
  v.visit("on_front", on_front, {.doc = "no other point is both better and smaller"});
}

void check_sweep(const Sweep& sweep) {
  for (const SweepPoint& point : sweep.points) {
    at_point(point, [&] {
      if (point.trained())
        load_experiment(point.experiment, point.sets);
      else
        resolve_quant(point.quant, point.where / "quant");
    });
  }
}

std::vector<SweepRow> run_sweep(const Sweep& sweep, const SweepRequest& request) {
  return SweepRunner(sweep, request).run();
}

bool larger_is_better(std::string_view metric) {
  return metric.starts_with("top") || metric == "sdr";
}

void mark_front(std::vector<SweepRow>& rows) {
  const auto counts = [](const SweepRow& row) { return row.error.empty() && row.value.has_value(); };
  for (SweepRow& row : rows) {
    row.on_front = counts(row) && std::none_of(rows.begin(), rows.end(), [&](const SweepRow& other) {
                     return counts(other) && beats(other, row);
                   });
  }
}

Value to_value(const std::vector<SweepRow>& rows) {
  Value list = Value::array();
  for (const SweepRow& row : rows) list.push_back(write_fields(row));
  return Value::object({{"rows", std::move(list)}});
}

}  // namespace lathe
