#include "data/images.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"
#include "data/device_images.h"

namespace lathe {
namespace {

struct NormalizeOptions {
  std::vector<double> mean, std;
  void fields(FieldVisitor& v) {
    v.visit("mean", mean, {.doc = "of each channel, of values in [0, 1]", .required = true});
    v.visit("std", std, {.doc = "of each channel", .min = 0, .above_min = true, .required = true});
  }
};

// Keeps the first `size` images.
void truncate(ImageSet& images, int64_t size) {
  images.labels.resize(static_cast<size_t>(size));
  images.pixels.resize(static_cast<size_t>(size * images.image_bytes()));
}

template <int64_t kChannels>
void apply_tables(const std::array<float, 256>* tables, const uint8_t* from, float* to, int64_t pixels) {
  for (int64_t i = 0; i < pixels; ++i) {
    for (int64_t c = 0; c < kChannels; ++c) to[kChannels * i + c] = tables[c][from[kChannels * i + c]];
  }
}

}  // namespace

void ImageOptions::fields(FieldVisitor& v) {
  v.visit(
      "normalize", normalize,
      {.doc = "mean and std of each channel, for inputs of zero mean and unit variance; null: pixels / 255"});
  v.visit("augment", augment, {.doc = "list of augmentations of the training split"});
  v.visit(
      "repeats", repeats,
      {.doc = "repeated augmentation: a training epoch takes each picture it takes this many times, and so "
              "fewer pictures",
       .min = 1,
       .max = 64});
  common.fields(v);
}

Value normalize_section(const std::vector<double>& mean, const std::vector<double>& std) {
  return write_fields(NormalizeOptions{mean, std});
}

Normalizer::Normalizer(const Value& section, const FieldPath& where, int64_t channels)
    : tables_(static_cast<size_t>(channels)) {
  NormalizeOptions options{std::vector<double>(tables_.size(), 0.0),
                           std::vector<double>(tables_.size(), 1.0)};
  if (!section.is(Value::Type::Null)) read_fields(options, section, where);
  for (const auto& [name, values] : {std::pair("mean", &options.mean), std::pair("std", &options.std)}) {
    if (values->size() == tables_.size()) continue;
    config_error(where / name, section.line(),
                 concat("found ", values->size(), " values, the images have ", channels, " channels"));
  }
  for (size_t c = 0; c < tables_.size(); ++c) {
    // In float, in this order: what other frameworks compute, so that imported weights see the same inputs.
    const float mean = static_cast<float>(options.mean[c]), std = static_cast<float>(options.std[c]);
    for (size_t x = 0; x < 256; ++x) tables_[c][x] = (static_cast<float>(x) / 255.0f - mean) / std;
  }
}

void Normalizer::apply(const uint8_t* from, const ImageView<float>& to) const {
  const int64_t pixels = to.height * to.width;
  if (to.channels == 1) return apply_tables<1>(tables_.data(), from, to.data, pixels);
  if (to.channels == 3) return apply_tables<3>(tables_.data(), from, to.data, pixels);
  for (int64_t i = 0; i < pixels * to.channels; ++i) {
    to.data[i] = tables_[static_cast<size_t>(i % to.channels)][from[i]];
  }
}

ImagePipeline::ImagePipeline(const ImageOptions& options, const FieldPath& where, int64_t channels,
                             std::string_view split)
    : normalizer(options.normalize, where / "normalize", channels) {
  const FieldPath list = where / "augment";
  if (!options.augment.is(Value::Type::Array)) {
    config_error(list, options.augment.line(),
                 concat("expected an array, found ", lathe::describe(options.augment)));
  }
  const std::vector<Value>& items = options.augment.items();
  if (static_cast<int64_t>(items.size()) > Draws::kMaxAugments) {
    config_error(
        list, options.augment.line(),
        concat("found ", items.size(), " augmentations, at most ", Draws::kMaxAugments, " are possible"));
  }
  int mixing = 0, cropping = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    augments.push_back(augment_registry().build(items[i], list[i]));
    if (augments.back()->mixes_labels() && ++mixing > 1) {
      config_error(list[i], items[i].line(), "labels can be mixed only once");
    }
    if (augments.back()->crops() && ++cropping > 1) {
      config_error(list[i], items[i].line(), "a picture can be cropped only once");
    }
  }
  if (split != "train") augments.clear();
  mixes_labels = mixing > 0 && !augments.empty();
}

Batch ImagePipeline::allocate(int64_t n, const Shape& sample, int64_t classes) const {
  Batch batch;
  batch.inputs = {Tensor::empty({n, sample[0], sample[1], sample[2]})};
  batch.targets = {mixes_labels ? Tensor::empty({n, classes}) : Tensor::empty({n}, DType::I64)};
  batch.size = n;
  return batch;
}

void ImagePipeline::make_input(const PixelRect& stored, const Philox& words, int64_t index,
                               const ImageView<float>& input) const {
  const bool fits = stored.height == input.height && stored.width == input.width;
  if (augments.empty() && fits && centre.crop_pct == 1) return normalizer.apply(stored.data, input);
  thread_local std::vector<uint8_t> scratch;
  scratch.resize(static_cast<size_t>(input.height * input.row()));
  const ImageView<uint8_t> pixels{scratch.data(), input.height, input.width, input.channels};
  const auto draws = [&](size_t position) { return Draws(words, index, static_cast<int64_t>(position)); };
  size_t cropping = 0;
  while (cropping < augments.size() && !augments[cropping]->crops()) ++cropping;
  if (cropping < augments.size()) {
    augments[cropping]->crop(stored, pixels, draws(cropping));
  } else if (fits && centre.crop_pct == 1) {
    std::copy(stored.data, stored.data + input.height * input.row(), scratch.data());
  } else {
    centre(stored, pixels);
  }
  for (size_t i = 0; i < augments.size(); ++i) augments[i]->before_normalize(pixels, draws(i));
  normalizer.apply(pixels.data, input);
  for (size_t i = 0; i < augments.size(); ++i) augments[i]->after_normalize(input, draws(i));
}

void ImagePipeline::load(const PixelRect& stored, int32_t label, const Philox& words, int64_t index,
                         Batch& batch, int64_t slot) const {
  Tensor& inputs = batch.inputs.at(0);
  const int64_t h = inputs.dim(1), w = inputs.dim(2), c = inputs.dim(3);
  make_input(stored, words, index, {inputs.mut<float>() + slot * h * w * c, h, w, c});
  if (mixes_labels) {
    Tensor& targets = batch.targets.at(0);
    float* row = targets.mut<float>() + slot * targets.dim(1);
    std::fill(row, row + targets.dim(1), 0.0f);
    row[label] = 1;
  } else {
    batch.targets.at(0).mut<int64_t>()[slot] = label;
  }
}

void ImagePipeline::finish(Batch& batch, uint64_t seed, uint32_t epoch, int64_t number) const {
  for (const auto& augment : augments) augment->on_batch(batch, seed, epoch, number);
}

void resolve_images(Value& section, const FieldPath& where) {
  if (const Value* normalize = section.find("normalize"); normalize && !normalize->is(Value::Type::Null)) {
    NormalizeOptions options;
    read_fields(options, *normalize, where / "normalize");
    section.set("normalize", write_fields(options));
  }
  const Value augment = *section.find("augment");
  if (!augment.is(Value::Type::Array)) return;  // building says what is wrong
  Value resolved = Value::array();
  for (size_t i = 0; i < augment.items().size(); ++i) {
    resolved.push_back(augment_registry().resolve(augment.items()[i], (where / "augment")[i]));
  }
  section.set("augment", resolved);
}

ImageDataset::ImageDataset(ImageSet images, const ImageOptions& options, const FieldPath& where,
                           uint64_t seed)
    : images_(std::move(images)),
      pipeline_(options, where, images_.channels, images_.split),
      seed_(seed),
      repeats_(options.repeats) {
  LATHE_ASSERT(static_cast<int64_t>(images_.pixels.size()) == images_.size() * images_.image_bytes());
  for (const int32_t label : images_.labels) LATHE_ASSERT(0 <= label && label < images_.classes);
  truncate(images_, options.common.limited(images_.split, images_.size()));
  info_ = {images_.type,    images_.split,       DataTask::Classification, images_.sample(),
           images_.classes, images_.class_names, content_hash(images_)};
}

Batch ImageDataset::allocate(int64_t n) const {
  return pipeline_.allocate(n, info_.sample, images_.classes);
}

void ImageDataset::load(int64_t index, uint32_t epoch, Batch& batch, int64_t slot) const {
  LATHE_ASSERT(0 <= index && index < size() && 0 <= slot && slot < batch.inputs.at(0).dim(0));
  const PixelRect stored(images_.image(index).data(), images_.height, images_.width, images_.channels);
  pipeline_.load(stored, images_.labels[static_cast<size_t>(index)], ImagePipeline::words(seed_, epoch),
                 index, batch, slot);
}

void ImageDataset::finish(Batch& batch, uint32_t epoch, int64_t number) const {
  pipeline_.finish(batch, seed_, epoch, number);
}

std::optional<ImagePlan> ImageDataset::plan(uint32_t epoch) const {
  ImagePlan plan;
  plan.philox = ImagePipeline::words(seed_, epoch);
  for (const auto& augment : pipeline_.augments) {
    const std::optional<ImageStep> step = augment->step();
    if (!step) return {};
    plan.steps[plan.count++] = *step;
  }
  return plan;
}

std::unique_ptr<DeviceImages> ImageDataset::on_device(Device device) const {
  if (repeats_ > 1 || !plan(0) || size() * images_.image_bytes() > DeviceImages::kMostBytes) return nullptr;
  return std::make_unique<DeviceImages>(*this, device);
}

Value ImageDataset::describe() const {
  Value out = Dataset::describe();
  std::vector<int64_t> counts(static_cast<size_t>(images_.classes));
  for (const int32_t label : images_.labels) ++counts[static_cast<size_t>(label)];
  Value per_class = Value::array(), mean = Value::array(), std = Value::array();
  for (const int64_t count : counts) per_class.push_back(Value::integer(count));
  const double n = static_cast<double>(images_.size() * images_.height * images_.width);
  for (int64_t c = 0; c < images_.channels; ++c) {
    uint64_t sum = 0, squares = 0;  // of bytes: exact for 2^47 pixels
    for (size_t i = static_cast<size_t>(c); i < images_.pixels.size();
         i += static_cast<size_t>(images_.channels)) {
      const uint64_t x = images_.pixels[i];
      sum += x;
      squares += x * x;
    }
    const double m = n > 0 ? static_cast<double>(sum) / n : 0;
    const double variance = n > 0 ? static_cast<double>(squares) / n - m * m : 0;
    mean.push_back(Value::real(m / 255));
    std.push_back(Value::real(std::sqrt(std::max(0.0, variance)) / 255));
  }
  out.set("samples_per_class", per_class);
  out.set("mean", mean);
  out.set("std", std);
  return out;
}

}  // namespace lathe
