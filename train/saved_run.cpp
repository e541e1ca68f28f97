#include "train/saved_run.h"

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/json.h"
#include "data/common.h"
#include "data/loader.h"
#include "data/vocabulary.h"
#include "layers/separation_model.h"
#include "models/registry.h"
#include "quant/activation.h"
#include "quant/attach.h"
#include "train/checkpoint.h"
#include "train/model_info.h"
#include "train/model_state.h"
#include "train/run_folder.h"
#include "train/weights.h"

namespace lathe {
namespace {

constexpr int64_t kCalibrationBatches = 16;
constexpr int64_t kMostSampleNumbers = int64_t{1} << 31;

/// The part of resolved.json that says what the weights are and what they were trained on.
struct Sections {
  std::string name;
  int64_t seed = 0;
  Value data, model, quant, loss, input;
  bool winograd = false;  // in a packed file; versions without the switch evaluated without
  void fields(FieldVisitor& v) {
    v.visit("name", name, {.doc = "of the run", .required = true});
    v.visit("seed", seed, {.doc = "of every random stream", .min = 0, .required = true});
    v.visit("data", data, {.doc = "the data set; null: none", .required = true});
    v.visit("model", model, {.doc = "the network", .required = true});
    v.visit("quant", quant, {.doc = "quantizers; null: none"});
    v.visit("loss", loss, {.doc = "what training minimised", .required = true});
    v.visit("input", input, {.doc = "what a sample is"});
    v.visit("winograd", winograd, {.doc = "how it was evaluated"});
  }
};

Sections read_sections(const std::filesystem::path& file, const Value& root) try {
  const FieldPath where{file.string(), ""};
  Sections sections;
  read_fields(sections, root, where,
              {"schema", "device", "threads", "regularizers", "optimizer", "schedule", "train", "output"});
  model_registry().resolve(sections.model, where / "model");
  resolve_quant(sections.quant, where / "quant");
  loss_registry().resolve(sections.loss, where / "loss");
  if (!sections.data.is(Value::Type::Null)) data_registry().resolve(sections.data, where / "data");
  return sections;
} catch (const ConfigError& error) {
  throw FormatError(error.what());
}

/// A run of a version that had no such switch was evaluated without; imported weights were not trained here.
bool trained_with_winograd(const Value& resolved) {
  const Value* train = resolved.find("train");
  if (train == nullptr) return true;
  const Value* winograd = train->find("winograd");
  return winograd != nullptr && *winograd == Value::boolean(true);
}

/// The run's network with its quantizers. FormatError for options that are valid each, but fit no model.
std::unique_ptr<Model> build_quantized(const SavedRun& run, const RootOptions& root) {
  const FieldPath where = run.where / "model";
  try {
    std::unique_ptr<Model> model = model_registry().build(run.model, where, root);
    attach_quantizers(*model, run.quant, run.where / "quant");
    return model;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Config && error.kind() != ErrorKind::Shape) throw;
    LATHE_THROW(FormatError, where.file, ":", run.model.line(), ": ", where.path, ": ", error.brief());
  }
}

/// A packed file's header describes the model whose tensors it holds, and samples that it takes: before
/// anyone asks for memory, or waits, for what the header says. A tensor is tied to one other name at most.
void check_fits(const SavedRun& run, std::vector<NamedTensor> tensors) {
  const auto most = 2 * static_cast<int64_t>(tensors.size());
  const auto model = build_quantized(run, {.device = Device::meta(), .most_parameters = most});
  load_evaluated(*model, std::move(tensors), run.packed.string());
  if (run.input.is(Value::Type::Null)) return;
  try {
    describe_model(run.model, run.where / "model", input_shape(run.input, run.packed));
  } catch (const ShapeError& error) {
    LATHE_THROW(FormatError, run.packed.string(), ": input.shape: ", error.brief());
  }
}

}  // namespace

Shape input_shape(const Value& input, const std::filesystem::path& source) {
  const Value* dims = input.find("shape");
  const auto refuse = [&] {
    LATHE_THROW(FormatError, source.string(), ": input.shape: expected the sizes of a sample of at most ",
                kMostSampleNumbers, " numbers, found ", to_json(input));
  };
  if (dims == nullptr || !dims->is(Value::Type::Array) || dims->items().empty()) refuse();
  std::vector<int64_t> sizes;
  int64_t numbers = 1;
  for (const Value& one : dims->items()) {
    if (!one.is(Value::Type::Int) || one.as_int() < 1 || one.as_int() > (int64_t{1} << 20)) refuse();
    sizes.push_back(one.as_int());
    numbers *= one.as_int();
    if (numbers > kMostSampleNumbers) refuse();
  }
  if (sizes.size() > static_cast<size_t>(Shape::kMaxRank) - 1) refuse();
  return Shape(sizes);
}

SavedRun open_run(const std::filesystem::path& path) {
  SavedRun run;
  Sections sections;
  UnpackedModel outline;  // of a packed file
  if (std::filesystem::is_regular_file(path)) {
    run.packed = path;
    run.where = {path.string(), ""};
    outline = read_packed_outline(path);
    sections = read_sections(path, outline.header);
    run.math.winograd = sections.winograd;
  } else {
    LATHE_CHECK(IoError, std::filesystem::is_directory(path), path.string(),
                ": there is no such run folder or packed file");
    const RunPaths paths{path};
    LATHE_CHECK(FormatError, paths.has_run(), path.string(),
                ": found a folder without resolved.json, expected a run");
    run.folder = path;
    run.where = {paths.resolved().string(), ""};
    const Value resolved = read_run_file(paths.resolved());
    sections = read_sections(paths.resolved(), resolved);
    run.math.winograd = trained_with_winograd(resolved);
    if (std::filesystem::exists(paths.environment())) {
      const Value environment = read_run_file(paths.environment());
      if (const Value* input = environment.find("input")) sections.input = *input;
    }
    if (!sections.input.is(Value::Type::Null)) input_shape(sections.input, paths.environment());
    const std::vector<std::filesystem::path> checkpoints = list_checkpoints(paths.checkpoints());
    LATHE_CHECK(FormatError, !checkpoints.empty(), path.string(), ": the run has no complete checkpoint yet");
    run.checkpoint = checkpoints.back();
  }
  run.name = sections.name;
  run.seed = sections.seed;
  run.model = sections.model;
  run.quant = sections.quant;
  run.data = sections.data;
  run.loss = sections.loss;
  run.input = sections.input;
  if (!run.packed.empty()) check_fits(run, std::move(outline.tensors));
  return run;
}

std::unique_ptr<Model> load_run_model(const SavedRun& run, Device device) {
  std::unique_ptr<Model> model = build_quantized(run, {.device = device, .draw = false});
  if (!run.packed.empty()) {
    load_unpacked(*model, read_unpacked(run.packed), run.packed.string());
    return model;
  }
  const Checkpoint checkpoint = read_checkpoint(run.checkpoint);
  load_model_state(*model, checkpoint.ema.empty() ? checkpoint.model : checkpoint.ema,
                   run.checkpoint.string());
  load_buffers(*model, checkpoint.evaluated, run.checkpoint.string());
  return model;
}

namespace {

/// Shows training batches to the activation quantizers of a model in evaluation mode.
void calibrate(const SavedRun& run, Model& model) {
  LATHE_CHECK(ConfigError, !run.data.is(Value::Type::Null), run.where.file,
              ": the ranges of activations come from training data, but the run says nothing of its data");
  const FieldPath where = run.where / "data";
  const auto split = evaluation_split(run.data, where, "train", static_cast<uint64_t>(run.seed));
  LoaderOptions order;
  order.batch = read_data_common(run.data, where).batch;
  Loader loader(*split, order);
  const std::unique_ptr<Task> task = run_task(run, split->info());
  const NoGrad no_grad;
  const MathModeScope math(run.math);
  model.run().mode = Mode::Eval;
  ++model.run().forward;
  for (ActivationQuantizer* quantizer : activation_quantizers_of(model)) quantizer->set_observing(true);
  Batch batch;
  loader.start(0);
  for (int64_t i = 0; i < kCalibrationBatches && loader.next(batch); ++i)
    task->output(model, batch.to(model.device()));
  for (ActivationQuantizer* quantizer : activation_quantizers_of(model)) quantizer->set_observing(false);
}

}  // namespace

PackedHeader header_of(const SavedRun& run) {
  return {.name = run.name,
          .seed = run.seed,
          .model = run.model,
          .data = run.data,
          .loss = run.loss,
          .quant = run.quant,
          .input = run.input,
          .winograd = run.math.winograd};
}

std::unique_ptr<Model> quantize_run(const SavedRun& run, const Value& quant, const FieldPath& where,
                                    Device device) {
  const std::unique_ptr<Model> trained = load_run_model(run);
  std::unique_ptr<Model> model =
      model_registry().build(run.model, run.where / "model", {.device = device, .draw = false});
  attach_quantizers(*model, quant, where);
  load_weights(*model, weights_of(*trained), run.where.file);
  for (Quantizer* quantizer : quantizers_of(*model)) quantizer->initialise();
  if (!activation_quantizers_of(*model).empty()) calibrate(run, *model);
  return model;
}

std::function<void(Model&)> initialiser(const std::string& from) {
  if (from.ends_with(".safetensors")) return [from](Model& model) { import_weights(model, from); };
  return [run = open_run(from), from](Model& model) {
    from_pytorch(model, to_pytorch(*load_run_model(run)), from);
  };
}

std::string hash_of_weights(const std::string& from) {
  if (std::filesystem::is_regular_file(from)) return hash_file(from);
  Hash hash;
  for (const NamedTensor& one : to_pytorch(*load_run_model(open_run(from)))) {
    const std::string text = concat(one.name, " ", one.tensor.dtype(), one.tensor.shape(), "\n");
    hash.add(std::as_bytes(std::span(text)));
    hash.add({one.tensor.raw(), one.tensor.bytes()});
  }
  return hash.hex();
}

void check_tokens(const SavedRun& run, const DatasetInfo& data) {
  const Value* tokenizer = run.input.find("tokenizer");
  if (tokenizer == nullptr || data.tokenizer.is(Value::Type::Null)) return;
  check_same_vocabulary(*tokenizer, data.tokenizer, run.name);
}

std::unique_ptr<Task> run_task(const SavedRun& run, const DatasetInfo& data) {
  return task_for(data, loss_registry().build(run.loss, run.where / "loss"));
}

std::unique_ptr<Dataset> evaluation_split(const Value& data, const FieldPath& where, const std::string& split,
                                          uint64_t seed) {
  Value plain = data;
  if (plain.find("augment") != nullptr) plain.set("augment", Value::array());
  if (plain.find("windows") != nullptr) plain.set("windows", Value::string("blocks"));
  return split_registry().build(plain, where, split, seed);
}

namespace {

/// The last name of a folder's path, however that is spelled: "new", "new/", ".".
std::string name_of(const std::filesystem::path& folder) {
  const std::filesystem::path whole = std::filesystem::absolute(folder).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

}  // namespace

void write_imported_run(const std::filesystem::path& folder, const Value& model_section,
                        const Value& data_section, const Model& model) {
  const RunFolder opened(folder, false);
  const RunPaths& paths = opened.paths();
  const bool separates = dynamic_cast<const SeparationModel*>(&model) != nullptr;
  const Value loss = Value::object({{"type", Value::string(separates ? "l1" : "cross_entropy")}});
  const Value resolved = Value::object({{"schema", Value::integer(1)},
                                        {"name", Value::string(name_of(folder))},
                                        {"seed", Value::integer(0)},
                                        {"data", data_section},
                                        {"model", model_section},
                                        {"loss", loss_registry().resolve(loss, {"", "loss"})}});
  Checkpoint checkpoint;
  checkpoint.model = model_state(model);
  try {
    write_checkpoint(paths.checkpoints(), checkpoint, 1);
    write_atomic(paths.experiment(), to_json(resolved, 2) + "\n");
    write_atomic(paths.resolved(), to_json(resolved, 2) + "\n");
    opened.set_status("done", 0);
  } catch (...) {  // the folder was empty before
    std::error_code ignored;
    for (const auto& path : {paths.checkpoints(), paths.experiment(), paths.resolved()})
      std::filesystem::remove_all(path, ignored);
    throw;
  }
}

}  // namespace lathe
