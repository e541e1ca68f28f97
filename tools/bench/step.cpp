#include "tools/bench/step.h"

#include <algorithm>
#include <memory>

#include "core/allocator.h"
#include "core/error.h"
#include "core/json.h"
#include "models/registry.h"
#include "tools/bench/harness.h"
#include "train/environment.h"
#include "train/model_info.h"

namespace lathe::bench {
namespace {

struct CaseRow {
  const char* model;    // the peer's name
  const char* section;  // "model" of an experiment
  int64_t batch;
  bool adam = false, whole_model = false;
  int64_t peer_parameters = 0;
  Shape sample = {};
  int64_t classes = 10;
};

const std::vector<CaseRow>& case_rows() {
  static const char* vit = R"({"type": "vit_tiny", "image": 32, "patch": 4, "classes": 10})";
  static const char* gpt =
      R"({"type": "gpt", "vocab": 256, "width": 256, "layers": 4, "heads": 4, "context": 128, "bias": true,
          "dropout": 0, "tied": false})";
  static const char* demucs =
      R"({"type": "demucs", "channels": 16, "audio_channels": 1, "resample": false, "pad_context": true})";
  static const std::vector<CaseRow> rows = {
      {.model = "resnet20",
       .section = R"({"type": "resnet20"})",
       .batch = 128,
       .whole_model = true,
       .peer_parameters = 269722},
      {.model = "resnet20",
       .section = R"({"type": "resnet20"})",
       .batch = 32,
       .whole_model = true,
       .peer_parameters = 269722},
      {.model = "resnet18",
       .section = R"({"type": "resnet18_cifar"})",
       .batch = 32,
       .peer_parameters = 11173962},
      {.model = "mobilenet",
       .section = R"({"type": "mobilenetv1_cifar"})",
       .batch = 128,
       .peer_parameters = 3217226},
      {.model = "vit",
       .section = vit,
       .batch = 64,
       .adam = true,
       .peer_parameters = 5362762,
       .sample = {32, 32, 3}},
      {.model = "gpt",
       .section = gpt,
       .batch = 16,
       .adam = true,
       .peer_parameters = 3323392,
       .sample = {128},
       .classes = 256},
      {.model = "demucs",
       .section = demucs,
       .batch = 4,
       .adam = true,
       .peer_parameters = 16622116,
       .sample = {88200, 1}},
  };
  return rows;
}

StepCase case_of(const CaseRow& row, const StepOptions& options) {
  StepCase one{.model = row.model, .whole_model = row.whole_model, .peer_parameters = row.peer_parameters};
  TrainingCase& training = one.training;
  training.model_options = parse_json(row.section, "bench");
  training.model = training.model_options.find("type")->as_string();
  training.batch = options.batch.value_or(row.batch);
  training.sample = row.sample;
  training.classes = row.classes;
  if (row.adam) training.optimizer = parse_json(R"({"type": "adam", "lr": 1e-3})", "bench");
  return one;
}

/// The first case of this name, else a model of the registry as it is.
StepCase case_named(const std::string& name, const StepOptions& options) {
  for (const CaseRow& row : case_rows()) {
    if (row.model == name) return case_of(row, options);
  }
  model_registry().at(Value::object({{"type", Value::string(name)}}), {"", "bench step"});
  return {
      .model = name, .training = {.model = name, .batch = options.batch.value_or(128)}, .whole_model = true};
}

struct QuantRow {
  const char* name;
  const char* method;
};
constexpr QuantRow kQuants[] = {
    {"none", nullptr},
    {"diffq", R"({"type": "diffq", "group": 8, "min_bits": 2, "max_bits": 15})"},
    {"codeq", R"({"type": "codeq", "bits": 4})"},
    {"lsq", R"({"type": "lsq", "bits": 4})"},
    {"qat", R"({"type": "minmax", "bits": 4})"},
};

const QuantRow& quant_named(const std::string& name) {
  const auto* found = std::find_if(std::begin(kQuants), std::end(kQuants),
                                   [&](const QuantRow& row) { return row.name == name; });
  LATHE_CHECK(ConfigError, found != std::end(kQuants), "bench step: there is no quantizer '", name,
              "' (none, diffq, codeq, lsq, qat)");
  return *found;
}

/// Widths learn by Adam at 1e-3, whatever the weights do.
Value with_widths(const Value& optimizer) {
  Value section =
      optimizer.is(Value::Type::Null)
          ? parse_json(R"({"type": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4})", "bench")
          : optimizer;
  section.set("groups", parse_json(R"([{"role": "bits", "type": "adam", "lr": 1e-3}])", "bench"));
  return section;
}

/// What the peer's package quantizes: by default every tensor of more than 0.01 MiB, biases and norms too.
TrainingCase quantized(const StepCase& one, const std::string& quant) {
  TrainingCase training = one.training;
  const QuantRow& row = quant_named(quant);
  if (row.method == nullptr) return training;
  Value rule = parse_json(row.method, "bench");
  if (!one.whole_model) {
    rule.set("kind", Value::string("any"));
    rule.set("min_numel", Value::integer(2622));
  }
  training.quant = Value::object({{"rules", Value::array({std::move(rule)})}});
  if (quant == "diffq") {
    training.regularizers = parse_json(R"([{"type": "size", "weight": 0.05}])", "bench");
    training.optimizer = with_widths(training.optimizer);
  }
  return training;
}

struct Subject {
  std::unique_ptr<Training> training;
  StepRow row;
  std::vector<double> seconds = {};
};

Subject prepare(const StepCase& one, const std::string& quant) {
  host_allocator::trim();  // blocks that fit badly would count in full
  const size_t before = host_allocator::stats().live_bytes;
  Subject subject{.training = std::make_unique<Training>(quantized(one, quant)), .row = {.quant = quant}};
  subject.training->step();
  subject.row.first_step_seconds = seconds_since_start();
  subject.row.parameters = subject.training->weights();
  host_allocator::reset_peak();
  subject.training->step();
  const size_t peak = host_allocator::stats().peak_live_bytes - before;
  subject.row.tensor_mib = static_cast<double>(peak) / (1 << 20);
  return subject;
}

/// Until two rounds in a row found all of their memory in the cache: blocks change places from step to step,
/// so one may be luck.
void warm_up(std::vector<Subject>& subjects) {
  constexpr int kMostRounds = 10;
  for (int round = 0, quiet = 0; round < kMostRounds && quiet < 2; ++round) {
    const uint64_t before = host_allocator::stats().system_allocations;
    for (Subject& subject : subjects) subject.training->step();
    quiet = host_allocator::stats().system_allocations == before ? quiet + 1 : 0;
  }
}

/// Of one sample.
double forward_macs(const TrainingCase& one) {
  const Shape sample = one.sample.rank() > 0 ? one.sample : model_input_shape(one.model);
  return static_cast<double>(describe_model(model_section(one), FieldPath(), sample).macs);
}

void finish(Subject& subject, const Subject* plain, int64_t batch) {
  StepRow& row = subject.row;
  const double best = *std::min_element(subject.seconds.begin(), subject.seconds.end());
  const double middle = median(subject.seconds);
  row.ms_best = 1e3 * best;
  row.ms_median = 1e3 * middle;
  row.samples_per_second_best = static_cast<double>(batch) / best;
  row.samples_per_second = static_cast<double>(batch) / middle;
  if (plain == nullptr) return;
  std::vector<double> ratios;
  for (size_t i = 0; i < subject.seconds.size(); ++i)
    ratios.push_back(subject.seconds[i] / plain->seconds[i]);
  row.ratio = median(ratios);
}

}  // namespace

std::vector<std::string> step_quants() {
  std::vector<std::string> names;
  for (const QuantRow& row : kQuants) names.emplace_back(row.name);
  return names;
}

std::vector<StepCase> step_cases(const StepOptions& options) {
  std::vector<StepCase> cases;
  for (const std::string& name : options.models) cases.push_back(case_named(name, options));
  if (!options.models.empty()) return cases;
  for (const CaseRow& row : case_rows()) {
    const bool repeated = options.batch && !cases.empty() && cases.back().model == row.model;
    if (!repeated) cases.push_back(case_of(row, options));
  }
  return cases;
}

std::vector<StepRow> time_step_case(const StepCase& one, const StepOptions& options, bool alone) {
  for (const std::string& quant : options.quants) quant_named(quant);
  std::vector<Subject> subjects;
  for (const std::string& quant : options.quants) subjects.push_back(prepare(one, quant));
  warm_up(subjects);
  const uint64_t before = host_allocator::stats().system_allocations;
  for (int64_t round = 0; round < options.steps; ++round) {
    for (Subject& subject : subjects)
      subject.seconds.push_back(time_once([&] { subject.row.loss = subject.training->step(); }));
  }
  const uint64_t allocations = host_allocator::stats().system_allocations - before;
  const auto plain = std::find_if(subjects.begin(), subjects.end(),
                                  [](const Subject& subject) { return subject.row.quant == "none"; });
  const double flops = 6 * forward_macs(one.training) * static_cast<double>(one.training.batch);
  const double peak = peak_gflops();
  std::vector<StepRow> rows;
  for (Subject& subject : subjects) {
    finish(subject, plain == subjects.end() ? nullptr : &*plain, one.training.batch);
    subject.row.system_allocations = allocations;
    subject.row.share_of_peak = flops / subject.row.ms_median * 1e-6 / peak;
    if (alone && subjects.size() == 1) {
      subject.row.peak_rss_mib = static_cast<double>(peak_rss_bytes()) / (1 << 20);
    } else {
      subject.row.first_step_seconds = 0;
    }
    rows.push_back(subject.row);
  }
  return rows;
}

}  // namespace lathe::bench
