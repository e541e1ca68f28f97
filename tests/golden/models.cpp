#include "tests/golden/models.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "autograd/ops/loss.h"
#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "core/math_mode.h"
#include "layers/parameter.h"
#include "layers/separation_model.h"
#include "models/registry.h"
#include "models/transformer_lm.h"
#include "tests/golden/fill.h"
#include "tests/golden/model_compare.h"
#include "tests/golden/model_sound.h"
#include "tests/support/kinks.h"

namespace lathe::golden {
namespace {

constexpr std::string_view kSchema = "model-golden-v1";
constexpr std::string_view kAdaptiveLoss =
    "adaptive_loss: sum over bands of CE(sum, ignore pad) divided by number of non-pad targets (natural log)";

// Sections of files that were written before the field `lathe` existed.
const std::map<std::string, std::string, std::less<>>& sections_by_name() {
  static const std::map<std::string, std::string, std::less<>> table = {
      {"cifar_mobilenet", R"({"type": "mobilenetv1_cifar", "classes": 10})"},
      {"cifar_resnet10_tiny", R"({"type": "resnet18_cifar", "classes": 10, "blocks": [1, 1, 1, 1]})"},
      {"cifar_resnet18", R"({"type": "resnet18_cifar", "classes": 10})"},
      {"resnet20_cifar10", R"({"type": "resnet20", "classes": 10})"},
      {"resnet20_optionB", R"({"type": "resnet20", "classes": 10, "blocks": [1, 1, 1], "shortcut": "B"})"},
      {"wrn_10_1_tiny", R"({"type": "wrn28_10", "depth": 10, "widen": 1, "classes": 10})"},
      {"wrn_28_10", R"({"type": "wrn28_10", "classes": 100})"},
  };
  return table;
}

// What this build cannot run; the reason becomes the row's message.
struct Unsupported {
  std::string reason;
};

// The file's model section with all defaults and every drop probability at 0.
Value model_section(const Value& file, const std::string& name) {
  Value section;
  if (const Value* given = file.find("lathe")) {
    section = *given;
  } else if (const auto found = sections_by_name().find(name); found != sections_by_name().end()) {
    section = parse_json(found->second, name);
  } else {
    throw Unsupported{"it has no section 'lathe', and its name is not known"};
  }
  const std::string type = need(section, "type").as_string();
  const std::vector<std::string> names = model_registry().names();
  if (std::find(names.begin(), names.end(), type) == names.end())
    throw Unsupported{concat("there is no model '", type, "'")};
  section = model_registry().resolve(section, {.file = name, .path = "lathe"});
  for (const auto& [key, value] : std::vector<Value::Member>(section.members())) {
    if (key.find("drop") != std::string::npos) section.set(key, Value::real(0));
  }
  return section;
}

// Of a list or of lists of lists, row-major.
void append_integers(const Value& list, std::vector<int64_t>& integers) {
  for (const Value& item : list.items()) {
    if (item.is(Value::Type::Array)) {
      append_integers(item, integers);
    } else {
      integers.push_back(item.as_int());
    }
  }
}

class ModelRun {
 public:
  ModelRun(const Value& file, const std::string& name, DType dtype)
      : file_(file),
        name_(name),
        dtype_(dtype),
        prefix_(dtype == DType::F64    ? "f64"
                : math_mode().winograd ? "f32"
                                       : "f32, direct") {
    const Value& input = need(file, "input");
    const std::string& loss = need(file, "loss").as_string();
    const Value section = model_section(file, name);
    model_ = model_registry().build(section, {.file = name, .path = "lathe"}, {.dtype = dtype});
    image_model_ = dynamic_cast<ImageModel*>(model_.get());
    language_model_ = dynamic_cast<LanguageModel*>(model_.get());
    adaptive_model_ = dynamic_cast<TransformerLm*>(model_.get());
    sound_model_ = dynamic_cast<SeparationModel*>(model_.get());
    if (sound_model_ != nullptr) {
      if (loss != kSoundLoss) throw Unsupported{concat("there is no loss '", loss, "' of sound here")};
      float_tables_ = need(section, "version").as_int() == 2 && need(section, "resample").as_bool();
      SoundInput sound = read_sound(input, dtype);
      images_ = sound.mixture;
      labels_ = sound.sources;
      return;
    }
    const bool text = language_model_ != nullptr;
    const Value* x = input.find(adaptive_model_ != nullptr ? "tokens" : text ? "idx" : "x");
    const Value* labels = input.find(text ? "targets" : "labels");
    if ((image_model_ == nullptr && !text) || x == nullptr || labels == nullptr ||
        input.members().size() != 2)
      throw Unsupported{
          "only models of images with inputs 'x' and 'labels' and of text with 'idx' or 'tokens' and "
          "'targets' are run here"};
    if (loss != (adaptive_model_ != nullptr ? kAdaptiveLoss
                 : text                     ? "mean cross entropy over all positions"
                                            : "mean cross entropy"))
      throw Unsupported{concat("there is no loss '", loss, "' here")};
    labels_ = read_indices(*labels);
    if (text) {
      tokens_ = read_indices(*x);
      return;
    }
    const Shape shape = read_shape(need(*x, "shape"));
    images_ = from_file(fill_input(need(*x, "rule").as_string(), shape.numel()), shape, true, dtype);
  }

  std::vector<GoldenResult> run() {
    check_parameters();
    for (const auto& [mode, results] : need(file_, "results").members()) {
      LATHE_CHECK(FormatError, mode == "eval" || mode == "train", "there is no mode '", mode, "'");
      fill();
      run_mode(mode, results);
    }
    return std::move(rows_);
  }

 private:
  void report(const std::string& check, const std::string& complaint) {
    rows_.push_back({name_, concat(prefix_, " ", check),
                     complaint.empty() ? GoldenResult::Passed : GoldenResult::Failed, complaint});
  }

  static Tensor read_indices(const Value& indices) {
    const Shape shape = read_shape(need(indices, "shape"));
    const std::string& rule = need(indices, "rule").as_string();
    const std::vector<int64_t> values = fill_indices(rule, shape.numel());
    if (const Value* listed = indices.find("values")) {
      std::vector<int64_t> expected;
      append_integers(*listed, expected);
      LATHE_CHECK(FormatError, expected == values, "the listed values do not follow their rule ", rule);
    }
    return Tensor::from(values, shape);
  }

  void check_parameters() {
    int64_t count = 0;
    for (const Parameter* parameter : model_->parameters()) {
      if (!parameter->tied()) count += parameter->numel();
    }
    const int64_t expected = need(file_, "n_params").as_int();
    report("parameters",
           count == expected ? std::string() : concat(count, " parameters, reference ", expected));
  }

  // Sets every parameter and running statistic; FormatError when names or shapes do not match the model's.
  void fill() {
    std::map<std::string, Parameter*> parameters;
    std::map<std::string, Buffer*> buffers;
    for (Parameter* parameter : model_->parameters()) {
      if (!parameter->tied()) parameters[parameter->path()] = parameter;
    }
    for (Buffer* buffer : model_->buffers()) buffers[buffer->path()] = buffer;
    const double gain = need(file_, "weight_gain").as_real();
    for (const Value& tensor : need(file_, "tensors").items()) {
      const std::string& name = need(tensor, "name").as_string();
      const Shape shape = read_shape(need(tensor, "shape"));
      const auto k = static_cast<uint32_t>(need(tensor, "k").as_int());
      const std::vector<double> values = fill_tensor(need(tensor, "rule").as_string(), shape, k, gain);
      if (const auto p = parameters.find(name); p != parameters.end()) {
        const Tensor ours = from_file(values, shape, p->second->axes() != Axes::Plain, dtype_);
        p->second->raw().set_data(ours);
        p->second->raw().grad() = Tensor();
        parameters.erase(p);
      } else if (const auto b = buffers.find(name); b != buffers.end()) {
        LATHE_CHECK(FormatError, b->second->data().shape() == shape, name, ": shape ", shape, ", ours has ",
                    b->second->data().shape());
        b->second->data() = from_file(values, shape, false, dtype_);
        buffers.erase(b);
      } else {
        LATHE_THROW(FormatError, "the model has no tensor '", name, "'");
      }
    }
    LATHE_CHECK(FormatError, parameters.empty(), "the file lacks '", parameters.begin()->first, "'");
    LATHE_CHECK(FormatError, buffers.empty(), "the file lacks '", buffers.begin()->first, "'");
  }

  // Of the images or mixtures, or of the file's tokens.
  Var forward(const Var& images) {
    ++model_->run().forward;
    if (sound_model_ != nullptr) return sound_model_->separate(images);
    if (adaptive_model_ != nullptr) return adaptive_model_->features(tokens_);
    return language_model_ != nullptr ? language_model_->logits(tokens_) : image_model_->logits(images);
  }

  Var loss_of(const Var& output) {
    if (adaptive_model_ != nullptr) return adaptive_model_->loss(tokens_, labels_);
    return sound_model_ != nullptr ? sound_loss(output, labels_) : cross_entropy(output, labels_);
  }

  // The file's, and those of tables that its authors computed in float32.
  Tolerances tolerances_of(const Value& results) const {
    Tolerances allowed = tolerances(dtype_, results);
    if ((float_tables_ || adaptive_model_ != nullptr) && dtype_ == DType::F64)
      allowed.output = allowed.loss = allowed.gradient = kFloatTables;
    return allowed;
  }

  Tensor in_file_order(const Var& output) const {
    return sound_model_ != nullptr ? sound_in_file_order(output.data()) : output.data();
  }

  // Probabilities that an adaptive softmax need not form for its loss.
  void check_probabilities(const std::string& mode, const Value& results, double tolerance) {
    const Value* extra = results.find("extra");
    if (adaptive_model_ == nullptr || extra == nullptr) return;
    const NoGrad no_grad;
    const Var all = adaptive_model_->logits(tokens_);
    report(mode + " log_prob",
           compare_output(to_file(all.data(), false), all.shape(), need(*extra, "full_log_prob"), tolerance));
    const Tensor own = adaptive_model_->target_log_probabilities(tokens_, labels_).data().to(DType::F64);
    const std::vector<double> reference = read_reals(need(*extra, "target_log_prob"));
    LATHE_CHECK(FormatError, own.numel() == static_cast<int64_t>(reference.size()), "target_log_prob has ",
                reference.size(), " numbers, expected ", own.numel());
    std::string complaint;
    for (size_t i = 0; i < reference.size() && complaint.empty(); ++i)
      complaint = compare_number(own.span<double>()[i], reference[i], tolerance);
    report(mode + " target log_prob", complaint);
  }

  Var input(bool with_gradient) const {
    return language_model_ != nullptr ? Var() : Var(images_, with_gradient);
  }

  void run_mode(const std::string& mode, const Value& results) {
    model_->run().mode = mode == "train" ? Mode::Train : Mode::Eval;
    const Tolerances allowed = tolerances_of(results);
    const bool backwards = results.find("grads") != nullptr;
    const NoGrad forward_only(!backwards);
    images_in_ = input(backwards && results.find("input_grad") != nullptr);
    const Var output = forward(images_in_);
    const Var loss = loss_of(output);
    const Tensor theirs = in_file_order(output);
    report(mode + " output",
           compare_output(to_file(theirs, false), theirs.shape(), need(results, "output"), allowed.output));
    report(mode + " loss", compare_number(loss.data().item(), need(results, "loss").as_real(), allowed.loss));
    check_probabilities(mode, results, allowed.output);
    if (const Value* stats = results.find("running_stats_after_forward"))
      check_statistics(mode, *stats, allowed.gradient);
    if (!backwards) return;
    if (dtype_ == DType::F32) follow_kinks(mode, results, tests::kinks_of(loss), allowed);
    backward(loss);
    if (const Value* reference = results.find("input_grad")) {
      const Value row = twin_ == nullptr ? *reference : columns_of(twin_->images_in_.grad(), true);
      report(mode + " input_grad", compare_columns(to_file(images_in_.grad(), true), row, allowed.gradient));
    }
    check_gradients(mode, results, allowed.gradient);
    const Value* step = results.find("sgd_step");
    if (step != nullptr && allowed.compare_step) check_step(mode, *step, allowed.loss);
  }

  // Where a kink of this float32 run is in another state than in float64, twin_ becomes a float64 run in the
  // same states, whose gradients stand for the file's.
  void follow_kinks(const std::string& mode, const Value& results, const std::vector<tests::Kink>& kinks,
                    const Tolerances& allowed) {
    twin_ = nullptr;
    if (kinks.empty()) return;
    auto twin = std::make_unique<ModelRun>(file_, name_, DType::F64);
    const MathModeScope direct({.winograd = false});
    const Var output = twin->reference_output(mode, results);
    const Tensor theirs = in_file_order(output);
    report(mode + " reference output",
           compare_output(to_file(theirs, false), theirs.shape(), need(results, "output"),
                          twin->tolerances_of(results).output));
    const Var loss = twin->loss_of(output);
    std::vector<tests::Kink> reference = tests::kinks_of(loss);
    const tests::Switches switches = tests::follow(reference, twin->leaves(), kinks, allowed.output);
    report(mode + " activations", switches.complaint);
    if (switches.complaint.empty()) rows_.back().message = switches.text();
    if (!switches.any()) return;
    backward(loss);
    twin_ = std::move(twin);
  }

  Var reference_output(const std::string& mode, const Value& results) {
    tests::save_every_output(*model_);
    fill();
    model_->run().mode = mode == "train" ? Mode::Train : Mode::Eval;
    images_in_ = input(results.find("input_grad") != nullptr);
    return forward(images_in_);
  }

  tests::Leaves leaves() const {
    tests::Leaves leaves;
    for (const Parameter* parameter : model_->parameters())
      leaves[&parameter->raw().grad()] = parameter->raw().data();
    return leaves;
  }

  void check_statistics(const std::string& mode, const Value& reference, double tolerance) {
    size_t found = 0;
    for (const Buffer* buffer : model_->buffers()) {
      const Value* row = reference.find(buffer->path());
      if (row == nullptr) continue;
      ++found;
      report(concat(mode, " ", buffer->path()),
             compare_columns(to_file(buffer->data(), false), *row, tolerance));
    }
    LATHE_CHECK(FormatError, found == reference.members().size(),
                "running_stats_after_forward names buffers that the model lacks");
  }

  void check_gradients(const std::string& mode, const Value& results, double tolerance) {
    const Value& reference = need(results, "grads");
    std::set<std::string> zeros;
    if (const Value* list = results.find("structurally_zero_grads")) {
      for (const Value& item : list->items()) zeros.insert(item.as_string());
    }
    double largest = 1;
    for (const auto& [name, row] : reference.members()) largest = std::max(largest, read_reals(row).at(0));
    for (const Parameter* parameter : model_->parameters()) {
      if (parameter->tied()) continue;
      const std::string path = parameter->path();
      const std::string check = concat(mode, " grad ", path);
      const Tensor& grad = parameter->raw().grad();
      if (!grad.defined()) {
        report(check, "no gradient reached it");
        continue;
      }
      const std::vector<double> ours = to_file(grad, parameter->axes() != Axes::Plain);
      report(check, zeros.count(path) != 0
                        ? compare_zero(ours, tolerance * largest)
                        : compare_columns(ours, gradient_row(path, need(reference, path)), tolerance));
    }
  }

  // Of the file, or of the twin where there is one.
  Value gradient_row(const std::string& path, const Value& file_row) const {
    if (twin_ == nullptr) return file_row;
    const Parameter& parameter = *twin_->model_->find_parameter(path);
    return columns_of(parameter.raw().grad(), parameter.axes() != Axes::Plain);
  }

  // One step of plain SGD on every parameter, then the loss of the same batch.
  void check_step(const std::string& mode, const Value& step, double tolerance) {
    const double lr = need(step, "lr").as_real();
    for (const Parameter* parameter : model_->parameters()) {
      if (parameter->tied()) continue;
      Tensor& data = parameter->raw().mutable_data();
      const Tensor& grad = parameter->raw().grad();
      dispatch_floating(dtype_, "sgd", [&]<class T>() {
        T* p = data.mut<T>();
        const T* g = grad.ptr<T>();
        for (int64_t i = 0; i < data.numel(); ++i) p[i] -= static_cast<T>(lr) * g[i];
      });
    }
    const NoGrad no_grad;
    const double after = loss_of(forward(input(false))).data().item();
    report(mode + " loss after one step",
           compare_number(after, need(step, "loss_after").as_real(), tolerance));
  }

  const Value& file_;
  std::string name_;
  DType dtype_;
  std::string prefix_;
  std::unique_ptr<Model> model_;
  ImageModel* image_model_ = nullptr;        // one of
  LanguageModel* language_model_ = nullptr;  // these three
  SeparationModel* sound_model_ = nullptr;   // is not null
  TransformerLm* adaptive_model_ = nullptr;  // a language model
  bool float_tables_ = false;                // resamples by filters that its authors computed in float32
  Tensor images_, tokens_, labels_;          // mixtures and sources of sound
  Var images_in_;                            // of the last forward
  std::unique_ptr<ModelRun> twin_;           // see follow_kinks
  std::vector<GoldenResult> rows_;
};

void run_file(const std::filesystem::path& path, const ModelGoldenOptions& options,
              std::vector<GoldenResult>& rows) {
  const std::string name = path.stem().string();
  if (name == "_param_counts") throw Unsupported{"counts of parameters: suite 'models' compares them"};
  const Value file = parse_json(read_text(path), path.filename().string());
  const std::string& schema = need(file, "schema").as_string();
  if (schema == kDemucsEvalSchema) {
    rows = run_demucs_eval(file, name);
    return;
  }
  if (schema != kSchema) throw Unsupported{concat("its schema is '", schema, "', not '", kSchema, "'")};
  const auto run = [&](DType dtype, bool winograd) {
    const MathModeScope mode({.winograd = winograd});
    std::vector<GoldenResult> more = ModelRun(file, name, dtype).run();
    rows.insert(rows.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  };
  for (const DType dtype : options.dtypes) {
    run(dtype, true);
    if (dtype == DType::F32) run(dtype, false);
  }
}

}  // namespace

std::vector<GoldenResult> run_model_golden(const std::filesystem::path& file,
                                           const ModelGoldenOptions& options) {
  std::vector<GoldenResult> rows;
  const std::string name = file.stem().string();
  try {
    run_file(file, options, rows);
  } catch (const Unsupported& unsupported) {
    rows.push_back({name, {}, GoldenResult::Unsupported, unsupported.reason});
  } catch (const std::exception& error) {
    rows.push_back({name, {}, GoldenResult::Failed, error.what()});
  }
  return rows;
}

std::vector<GoldenResult> run_model_goldens(const std::filesystem::path& folder,
                                            const ModelGoldenOptions& options) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::filesystem::path& path = entry.path();
    if (path.extension() == ".json" && path.filename().string().find(options.filter) != std::string::npos)
      files.push_back(path);
  }
  std::sort(files.begin(), files.end());
  std::vector<GoldenResult> rows;
  for (const std::filesystem::path& file : files) {
    std::vector<GoldenResult> more = run_model_golden(file, options);
    rows.insert(rows.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  return rows;
}

std::vector<GoldenResult> run_model_goldens(const std::filesystem::path& folder, const std::string& filter) {
  return run_model_goldens(folder, ModelGoldenOptions{.filter = filter});
}

}  // namespace lathe::golden
