#include "train/config/experiment.h"

#include <algorithm>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "data/dataset.h"
#include "train/config/overrides.h"
#include "train/config/sections.h"

namespace lathe {
namespace {

/// The file's top level; sections are read in a second step.
struct TopLevel {
  int64_t schema = Experiment::kSchema;
  std::string name;
  int64_t seed = 0;
  std::string device = "auto";
  std::optional<int64_t> threads;
  Value data, model;
  Value quant;
  Value regularizers = Value::array();
  Value loss = Value::object({{"type", Value::string("cross_entropy")}});
  Value optimizer;
  Value schedule = Value::object({{"type", Value::string("constant")}});
  Value train;
  Value output = Value::object();

  void fields(FieldVisitor& v) {
    v.visit("schema", schema,
            {.doc = "version of this format",
             .min = Experiment::kSchema,
             .max = Experiment::kSchema,
             .required = true});
    v.visit("name", name, {.doc = "of the run and its folder", .required = true});
    v.visit("seed", seed, {.doc = "of every random stream", .min = 0, .required = true});
    v.visit("device", device, {.doc = "auto, cpu, cuda or cuda:N; auto takes the first GPU there is"});
    v.visit("threads", threads,
            {.doc = "CPU threads; null: every core. Results do not depend on it", .min = 1, .max = 1024});
    v.visit("data", data, {.doc = "the data set and its batches", .required = true});
    v.visit("model", model, {.doc = "the network", .required = true});
    v.visit("quant", quant, {.doc = "which parameters are quantized, and how; null: none"});
    v.visit("regularizers", regularizers, {.doc = "terms added to the loss because weights are quantized"});
    v.visit("loss", loss, {.doc = "what training minimises"});
    v.visit("optimizer", optimizer, {.doc = "how parameters are updated", .required = true});
    v.visit("schedule", schedule, {.doc = "learning rates over time"});
    v.visit("train", train, {.doc = "length and other rules of training", .required = true});
    v.visit("output", output, {.doc = "what is written and kept"});
  }
};

/// A name becomes a folder's.
void check_name(const std::string& name, const Value& root, const FieldPath& where) {
  const int line = root.find("name")->line();
  const bool printable = std::none_of(
      name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
  if (!printable)
    config_error(where / "name", line,
                 concat("expected the name of a folder without control characters, found ",
                        to_json(Value::string(name))));
  const bool fits = !name.empty() && name[0] != '.' && name.find('/') == std::string::npos;
  if (!fits) config_error(where / "name", line, concat("expected the name of a folder, found '", name, "'"));
}

void check_device(const std::string& device, const Value& root, const FieldPath& where) {
  if (device == "auto") return;
  try {
    Device::parse(device);
  } catch (const ConfigError& error) {
    const Value* found = root.find("device");
    config_error(where / "device", found == nullptr ? 0 : found->line(), error.what());
  }
}

void apply_overrides(Value& root, const std::vector<std::string>& sets) {
  const Value defaults = write_fields(TopLevel());
  for (const std::string& set : sets) apply_override(root, set, defaults);
}

Value parse_with_sets(std::string_view text, const std::string& source,
                      const std::vector<std::string>& sets) {
  Value root = parse_json(text, source, {.comments = true});
  if (!root.is(Value::Type::Object)) {
    config_error({source, ""}, root.line(), concat("expected an object, found ", describe(root)));
  }
  apply_overrides(root, sets);
  return root;
}

/// A change of what is not read would change nothing: refused.
void check_only_data(const std::vector<std::string>& sets) {
  for (const std::string& set : sets) {
    const std::string_view path = std::string_view(set).substr(0, set.find('='));
    LATHE_CHECK(ConfigError, path == "data" || path.starts_with("data."), "--set ", set,
                ": only \"data\" is read here, expected data.KEY=VALUE");
  }
}

void replace(Value& properties, std::string_view key, Value schema) {
  Value* property = properties.find(key);
  LATHE_ASSERT(property != nullptr, "every section is a key of the file");
  for (const auto& [name, value] : property->members()) schema.set(name, value);  // description, default
  *property = std::move(schema);
}

}  // namespace

void TrainOptions::fields(FieldVisitor& v) {
  v.visit("epochs", epochs, {.doc = "passes over the training data", .min = 1, .max = 1e9, .required = true});
  v.visit("clip_norm", clip_norm,
          {.doc = "limit of the gradients' norm; null: none", .min = 0, .above_min = true});
  v.visit("ema", ema,
          {.doc = "decay of averaged weights, which are then evaluated; null: none",
           .min = 0,
           .max = 1,
           .above_min = true,
           .below_max = true});
  v.visit("eval_epochs", eval_epochs, {.doc = "epochs between two evaluations", .min = 1});
  v.visit(
      "batch_norm_batches", batch_norm_batches,
      {.doc =
           "training batches from which batch norms' statistics are measured again for evaluation; 0: none",
       .min = 0});
  v.visit(
      "precision", precision,
      {.doc = "of training steps on a CUDA device; bf16: activations, with weights, quantizers and losses in "
              "f32; tf32: products of f32 tensors. Evaluation is always f32",
       .choices = {"f32", "tf32", "bf16"}});
  v.visit("deterministic", deterministic,
          {.doc = "same bits every time; false lets a CUDA device add up in any order"});
  v.visit(
      "winograd", winograd,
      {.doc = "3x3 convolutions on the host by Winograd's F(4x4, 3x3): faster, with errors some ten times "
              "those of direct sums; in evaluation too"});
  v.visit("cuda_graph", cuda_graph,
          {.doc = "record a training step on a CUDA device once and launch it as a whole; same bits"});
  v.visit("device_augment", device_augment,
          {.doc = "on a CUDA device, make training batches there from a copy of the images' bytes, where the "
                  "set is images of at most 1 GiB and none are mixed; same bits"});
}

void OutputOptions::fields(FieldVisitor& v) {
  v.visit("checkpoint_epochs", checkpoint_epochs, {.doc = "epochs between two checkpoints", .min = 1});
  v.visit("keep", keep, {.doc = "checkpoints kept, the newest", .min = 1});
}

Experiment parse_experiment(std::string_view text, const std::string& source,
                            const std::vector<std::string>& sets) {
  const FieldPath where{source, ""};
  const Value root = parse_with_sets(text, source, sets);
  TopLevel top;
  read_fields(top, root, where);
  check_name(top.name, root, where);
  check_device(top.device, root, where);

  Experiment experiment;
  experiment.where = where;
  experiment.name = top.name;
  experiment.seed = top.seed;
  experiment.device = top.device;
  experiment.threads = top.threads;
  experiment.data = top.data;
  experiment.model = top.model;
  experiment.quant = top.quant;
  experiment.regularizers = top.regularizers;
  experiment.loss = top.loss;
  experiment.optimizer = top.optimizer;
  experiment.schedule = top.schedule;
  read_fields(experiment.train, top.train, where / "train");
  read_fields(experiment.output, top.output, where / "output");
  for (const Section& section : experiment_sections()) {  // each registry checks its own
    section.resolve(experiment.*section.member, where / section.key);
  }
  // With the defaults of its data set, which may know better than the keys that all have in common.
  experiment.data_common =
      read_data_common(data_registry().resolve(experiment.data, where / "data"), where / "data");
  return experiment;
}

Experiment load_experiment(const std::filesystem::path& path, const std::vector<std::string>& sets) {
  return parse_experiment(read_text(path), path.string(), sets);
}

DataSection load_data_section(const std::filesystem::path& path, const std::vector<std::string>& sets) {
  check_only_data(sets);
  const FieldPath where{path.string(), ""};
  const Value root = parse_with_sets(read_text(path), path.string(), sets);
  const Value* data = root.find("data");
  if (data == nullptr) config_error(where, root.line(), "required key 'data' is missing");
  return {*data, where / "data"};
}

DataSection named_data_section(const std::string& type, const std::vector<std::string>& sets) {
  check_only_data(sets);
  Value root = Value::object({{"data", Value::object({{"type", Value::string(type)}})}});
  apply_overrides(root, sets);
  return {*root.find("data"), {"", "data"}};
}

Value resolve_experiment(const Experiment& experiment) {
  TopLevel top;
  top.name = experiment.name;
  top.seed = experiment.seed;
  top.device = experiment.device;
  top.threads = experiment.threads;
  top.train = write_fields(experiment.train);
  top.output = write_fields(experiment.output);
  Value resolved = write_fields(top);
  for (const Section& section : experiment_sections()) {
    resolved.set(section.key, section.resolve(experiment.*section.member, experiment.where / section.key));
  }
  return resolved;
}

Value experiment_schema() {
  Value schema = Value::object({{"$schema", Value::string("https://json-schema.org/draft/2020-12/schema")},
                                {"title", Value::string("Lathe experiment")}});
  const Value top = fields_schema<TopLevel>();
  for (const auto& [key, value] : top.members()) schema.set(key, value);
  Value& properties = *schema.find("properties");
  for (const Section& section : experiment_sections()) replace(properties, section.key, section.schema());
  replace(properties, "train", fields_schema<TrainOptions>());
  replace(properties, "output", fields_schema<OutputOptions>());
  return schema;
}

}  // namespace lathe
