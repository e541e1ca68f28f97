#include "tests/golden/model_sound.h"

#include <cmath>
#include <map>
#include <memory>

#include "autograd/ops/loss.h"
#include "autograd/ops/shape.h"
#include "core/error.h"
#include "layers/separation_model.h"
#include "models/demucs.h"
#include "models/registry.h"
#include "tests/golden/fill.h"
#include "tests/golden/model_compare.h"
#include "train/separate.h"

namespace lathe::golden {
namespace {

// "0.5*s(i,65537), center-trimmed": what follows the comma is for the reader.
std::vector<double> filled(const Value& section) {
  const std::string& rule = need(section, "rule").as_string();
  return fill_input(rule.substr(0, rule.find(", ")), read_shape(need(section, "shape")).numel());
}

class DemucsEval {
 public:
  DemucsEval(const Value& file, std::string name) : file_(file), name_(std::move(name)) {}

  std::vector<GoldenResult> run() {
    check_lengths();
    check_runs();
    check_chunks();
    check_rescale();
    return std::move(rows_);
  }

 private:
  void report(const std::string& check, const std::string& complaint) {
    rows_.push_back(
        {name_, check, complaint.empty() ? GoldenResult::Passed : GoldenResult::Failed, complaint});
  }

  // A file's configuration as our section; sample rate and segment are no options of the model here.
  static std::unique_ptr<SeparationModel> build(const Value& config, const std::string& version,
                                                const RootOptions& root) {
    Value section = Value::object(
        {{"type", Value::string("demucs")}, {"version", Value::integer(version == "v1" ? 1 : 2)}});
    for (const auto& [key, value] : config.members()) {
      if (key != "samplerate" && key != "segment_length" && key != "reference" && key != "weight_gain")
        section.set(key, value);
    }
    std::unique_ptr<Model> model = model_registry().build(section, {}, root);
    auto* sound = dynamic_cast<SeparationModel*>(model.get());
    LATHE_CHECK(FormatError, sound != nullptr, "demucs is no SeparationModel");
    model.release();  // NOLINT(bugprone-unused-return-value): `sound` is the same object
    return std::unique_ptr<SeparationModel>(sound);
  }

  void check_lengths() {
    int index = 0;
    for (const Value& row : need(file_, "valid_length").items()) {
      const auto model =
          build(need(row, "cfg"), need(row, "version").as_string(), {.device = Device::meta()});
      std::string complaint;
      for (const auto& [length, expected] : need(row, "table").members()) {
        const int64_t found = model->valid_length(std::stoll(length));
        if (found != expected.as_int())
          complaint = concat("of ", length, ": ", found, ", reference ", expected.as_int());
      }
      report(concat("valid_length ", index++), complaint);
    }
    for (const Value& row : need(file_, "output_length").items()) {
      const auto model =
          build(need(row, "cfg"), need(row, "version").as_string(), {.device = Device::meta()});
      const int64_t valid = model->valid_length(need(row, "T").as_int());
      const Tensor mixture = Tensor::empty({1, valid, model->channels()}, DType::F32, Device::meta());
      const int64_t length = model->separate(Var(mixture)).dim(1);
      const bool same =
          valid == need(row, "valid_length").as_int() && length == need(row, "output_length").as_int();
      report(concat("output_length of ", need(row, "T").as_int()),
             same ? "" : concat("valid length ", valid, ", output ", length));
    }
  }

  static void fill(Module& model, const Value& tensors, double gain) {
    for (const Value& tensor : tensors.items()) {
      const std::string& name = need(tensor, "name").as_string();
      Parameter* parameter = model.find_parameter(name);
      LATHE_CHECK(FormatError, parameter != nullptr, "the model has no tensor '", name, "'");
      const Shape shape = read_shape(need(tensor, "shape"));
      const auto k = static_cast<uint32_t>(need(tensor, "k").as_int());
      parameter->raw().set_data(from_file(fill_tensor(need(tensor, "rule").as_string(), shape, k, gain),
                                          shape, parameter->axes() != Axes::Plain, parameter->raw().dtype()));
    }
  }

  void check_runs() {
    const Value &about = need(file_, "apply_model_model"), &runs = need(file_, "apply_model");
    const Value& config = need(about, "config");
    const auto model = build(config, "v2", {.dtype = DType::F64});
    fill(*model, need(about, "tensors"), need(about, "weight_gain").as_real());
    model->run().mode = Mode::Eval;
    const Value& mix = need(runs, "mix");
    const Shape shape = read_shape(need(mix, "shape"));  // (C, T)
    const Tensor mixture = from_file(filled(mix), {1, shape[0], shape[1]}, true, DType::F64);
    for (const Value& one : need(runs, "cases").items()) {
      const Value &arguments = need(one, "args"), &shifts = need(one, "shift_offsets_in_call_order");
      SeparateOptions options;
      const Value* split = arguments.find("split");
      if (split != nullptr && split->as_bool()) options.segment = need(config, "segment_length").as_int();
      if (const Value* overlap = arguments.find("overlap")) options.overlap = overlap->as_real();
      if (const Value* power = arguments.find("transition_power")) options.power = power->as_real();
      if (const Value* count = arguments.find("shifts")) options.shifts = count->as_int();
      options.max_shift = need(config, "samplerate").as_int() / 2;
      size_t next = 0;
      options.next_shift = [&] { return shifts.items().at(next++).as_int(); };
      const Tensor y = separate(*model, mixture.view({shape[1], shape[0]}), options);
      const Tensor ours = sound_in_file_order(y.view({1, y.dim(0), y.dim(1), y.dim(2)}));
      report(concat("apply_model ", need(one, "name").as_string()),
             compare_output(to_file(ours, false), Shape{ours.dim(1), ours.dim(2), ours.dim(3)},
                            need(one, "output"), kFloatTables));
    }
  }

  void check_chunks() {
    std::vector<double> ten(10);
    for (size_t i = 0; i < ten.size(); ++i) ten[i] = static_cast<double>(i);
    const Tensor line = Tensor::from(ten, {10, 1});
    for (const Value& row : need(file_, "tensor_chunk_padded_on_0..9").items()) {
      const int64_t target = need(row, "target").as_int(), length = need(row, "length").as_int();
      Tensor samples = Tensor::empty({target, 1}, DType::F64);
      read_from(line).read(need(row, "offset").as_int() - (target - length) / 2, samples);
      report(concat("padded chunk of ", length),
             to_file(samples, false) == read_reals(need(row, "out")) ? "" : "other samples");
    }
    for (const Value& row : need(file_, "center_trim_on_0..9").items()) {
      const Var trimmed = center_trim(Var(line), 0, need(row, "to").as_int());
      report(concat("center trim to ", need(row, "to").as_int()),
             to_file(trimmed.data(), false) == read_reals(need(row, "out")) ? "" : "other samples");
    }
  }

  // Standard deviation and norm of each weight and norm of its bias, filled, then divided by its factor.
  void check_rescale() {
    const Value &about = need(file_, "rescale_module"), &config = need(about, "config");
    const double reference = need(config, "reference").as_real();
    const auto model = build(config, "v2", {.dtype = DType::F64});
    fill(*model, need(need(file_, "apply_model_model"), "tensors"), need(config, "weight_gain").as_real());
    for (const char* moment : {"before", "after"}) {
      for (const auto& [layer, row] : need(about, moment).members()) {
        const Tensor weight = model->find_parameter(layer + ".weight")->raw().data();
        const Tensor bias = model->find_parameter(layer + ".bias")->raw().data();
        const double factor = std::string_view(moment) == "after" ? rescale_factor(weight, reference) : 1;
        const double std = reference * std::pow(rescale_factor(weight, reference), 2);
        const auto norm = [](const Tensor& x) {
          double sum = 0;
          for (const double v : x.span<double>()) sum += v * v;
          return std::sqrt(sum);
        };
        const double ours[] = {std / factor, norm(weight) / factor, norm(bias) / factor};
        const std::vector<double> theirs = read_reals(row);
        std::string complaint;
        for (size_t i = 0; i < theirs.size(); ++i) {
          const std::string one = compare_number(ours[i], theirs[i], 1e-6);  // stored in float32
          if (!one.empty()) complaint = one;
        }
        report(concat("rescale ", moment, " ", layer), complaint);
      }
    }
  }

  const Value& file_;
  std::string name_;
  std::vector<GoldenResult> rows_;
};

}  // namespace

SoundInput read_sound(const Value& input, DType dtype) {
  const Value &mix = need(input, "mix"), &sources = need(input, "sources");
  const Shape shape = read_shape(need(sources, "shape"));
  LATHE_CHECK(FormatError, shape.rank() == 4, "sources of shape ", shape, ", expected (N, S, C, T)");
  const Tensor theirs = from_file(filled(sources), shape, false, dtype);
  return {from_file(filled(mix), read_shape(need(mix, "shape")), true, dtype),
          permute(Var(theirs), {0, 3, 1, 2}).data()};
}

Var sound_loss(const Var& output, const Tensor& sources) {
  return l1_loss(output, center_trim(Var(sources), 1, output.dim(1)), Reduction::Mean);
}

Tensor sound_in_file_order(const Tensor& output) {
  return permute(Var(output), {0, 2, 3, 1}).data();
}

std::vector<GoldenResult> run_demucs_eval(const Value& file, const std::string& name) {
  return DemucsEval(file, name).run();
}

}  // namespace lathe::golden
