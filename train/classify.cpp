#include "train/classify.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "data/dataset.h"
#include "models/registry.h"

namespace lathe {
namespace {

std::vector<std::string> class_names(const Value& input) {
  std::vector<std::string> names;
  const Value* list = input.find("class_names");
  if (list == nullptr || !list->is(Value::Type::Array)) return names;
  for (const Value& name : list->items())
    names.push_back(name.is(Value::Type::String) ? name.as_string() : std::to_string(names.size()));
  return names;
}

}  // namespace

Classifier::Classifier(const std::filesystem::path& path, Device device)
    : run_(open_run(path)), model_(load_run_model(run_, device)) {
  const bool known = !run_.input.is(Value::Type::Null);
  input_ = known ? input_shape(run_.input, path) : model_input_shape(run_.model.find("type")->as_string());
  LATHE_CHECK(ConfigError, input_.rank() == 3 && (input_[2] == 1 || input_[2] == 3), path.string(),
              ": the model takes samples of ", input_, ", expected pictures (H, W, 1 or 3)");
  LATHE_CHECK(ConfigError, !run_.data.is(Value::Type::Null), path.string(),
              ": nothing says how its inputs are normalised; import weights with --data");
  const Value data = data_registry().resolve(run_.data, run_.where / "data");
  const Value* normalize = data.find("normalize");
  LATHE_CHECK(ConfigError, normalize != nullptr, path.string(),
              ": its data are no pictures: ", data.find("type")->as_string());
  evaluation_ = evaluation_input(data);
  if (evaluation_ && !known) input_ = evaluation_->sample;
  normalizer_ = std::make_unique<Normalizer>(*normalize, run_.where / "data" / "normalize", input_[2]);
  if (known) names_ = class_names(run_.input);
  model_->run().mode = Mode::Eval;
  ++model_->run().forward;  // one forward for all pictures: weights are decoded once
}

Picture Classifier::fit(const Picture& picture) const {
  LATHE_CHECK(ShapeError, picture.channels == input_[2], run_.name, ": a picture of ", picture.channels,
              " channels, the model takes ", input_[2]);
  if (!evaluation_) return fit_picture(picture, input_[0], input_[1]);
  Picture fitted{.height = input_[0], .width = input_[1], .channels = input_[2], .pixels = {}};
  fitted.pixels.resize(static_cast<size_t>(input_.numel()));
  evaluation_->crop({picture.pixels.data(), picture.height, picture.width, picture.channels},
                    {fitted.pixels.data(), fitted.height, fitted.width, fitted.channels});
  return fitted;
}

std::vector<Guess> Classifier::classify(const Picture& picture, int64_t count) {
  const Picture fitted = fit(picture);
  Batch batch;
  batch.inputs.push_back(Tensor::empty(Shape({1, input_[0], input_[1], input_[2]})));
  batch.size = 1;
  normalizer_->apply(fitted.pixels.data(), {batch.inputs[0].mut<float>(), input_[0], input_[1], input_[2]});
  const NoGrad no_grad;
  const MathModeScope math(run_.math);
  const Tensor logits = model_->forward(batch.to(model_->device())).data().to(Device::cpu()).to(DType::F32);
  LATHE_CHECK(ConfigError, logits.rank() == 2, run_.name, ": the model's output is ", logits.shape(),
              ", expected logits (1, classes)");
  const float* values = logits.ptr<float>();
  std::vector<int64_t> order(static_cast<size_t>(logits.shape()[1]));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return values[a] > values[b]; });
  double sum = 0;
  for (const int64_t i : order) sum += std::exp(double{values[i]} - double{values[order[0]]});
  std::vector<Guess> guesses;
  for (const int64_t i : order) {
    if (static_cast<int64_t>(guesses.size()) == count) break;
    const auto at = static_cast<size_t>(i);
    guesses.push_back({i, at < names_.size() ? names_[at] : std::to_string(i),
                       std::exp(double{values[i]} - double{values[order[0]]}) / sum});
  }
  return guesses;
}

std::vector<Guess> Classifier::classify(const std::filesystem::path& picture, int64_t count) {
  return classify(read_picture(picture, input_[2]), count);
}

}  // namespace lathe
