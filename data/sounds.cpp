#include "data/sounds.h"

#include <algorithm>

#include "core/error.h"
#include "data/source.h"

namespace lathe {
namespace {

/// As separate_parts (train/separate.h) advances.
void check_segments(const Value& section, const FieldPath& where) {
  const Value *segment = section.find("segment"), *overlap = section.find("overlap");
  if (!segment->is(Value::Type::Int)) return;
  const auto samples = static_cast<double>(segment->as_int());
  if (static_cast<int64_t>((1 - overlap->as_real()) * samples) >= 1) return;
  config_error(where / "overlap", overlap->line(),
               concat("found ", overlap->as_real(), ", but segments of ", segment->as_int(),
                      " samples must advance: expected at most ", 1 - 1 / samples));
}

}  // namespace

void SoundOptions::fields(FieldVisitor& v) {
  v.visit("samples", samples, {.doc = "length of a training sample", .min = 1, .max = 1e9});
  v.visit("stride", stride,
          {.doc = "samples from one training sample to the next; null: a second", .min = 1, .max = 1e9});
  v.visit("segment", segment,
          {.doc = "samples that evaluation separates at once; null: whole tracks", .min = 1, .max = 1e9});
  v.visit("overlap", overlap,
          {.doc = "share of a segment that the next one covers too", .min = 0, .max = 1, .below_max = true});
  v.visit("shifts", shifts,
          {.doc = "evaluation averages over this many shifts by up to half a second", .min = 0, .max = 1000});
  v.visit("augment", augment, {.doc = "list of augmentations of the training split"});
  common.fields(v);
}

SoundDataset::SoundDataset(std::unique_ptr<SoundSet> set, const SoundOptions& options, const FieldPath& where,
                           uint64_t seed)
    : set_(std::move(set)),
      options_(options),
      augments_(read_sound_augments(options.augment, where / "augment")),
      stride_(options.stride.value_or(set_->rate)),
      seed_(seed) {
  const bool train = set_->split == "train";
  int64_t longest = 0;
  for (const SoundTrack& track : set_->tracks) {
    first_.push_back(size_);
    size_ += train ? stretches(track) : 1;
    longest = std::max(longest, track.samples);
  }
  size_ = options.common.limited(set_->split, size_);
  info_ = {.type = set_->type,
           .split = set_->split,
           .task = DataTask::Separation,
           .sample = {train ? options.samples : options.segment.value_or(longest), set_->channels},
           .classes = 0,
           .class_names = set_->sources,
           .content_hash = set_->content_hash,
           .sound = {.rate = set_->rate,
                     .segment = options.segment.value_or(0),
                     .overlap = options.overlap,
                     .shifts = options.shifts}};
}

int64_t SoundDataset::stretches(const SoundTrack& track) const {
  const int64_t needed = options_.samples + augments_.shift;
  LATHE_CHECK(DataError, track.samples >= needed, set_->type, ": track '", track.name, "' has ",
              track.samples, " samples, a training sample takes ", options_.samples,
              augments_.shift > 0 ? concat(" and ", augments_.shift, " for its shift") : "",
              ": make \"samples\" smaller");
  return (track.samples - needed) / stride_ + 1;
}

Batch SoundDataset::allocate(int64_t n) const {
  const int64_t sources = static_cast<int64_t>(set_->sources.size()), c = set_->channels;
  Batch batch;
  batch.size = n;
  batch.inputs = {Tensor::empty({n, info_.sample[0], c})};
  batch.targets = {Tensor::empty({n, info_.sample[0], sources, c})};
  if (set_->split != "train") {
    batch.inputs.push_back(Tensor::empty({n, 2}));
    batch.inputs.push_back(Tensor::empty({n, info_.sample[0], c}));
  }
  return batch;
}

void SoundDataset::load(int64_t index, uint32_t epoch, Batch& batch, int64_t slot) const {
  LATHE_ASSERT(0 <= index && index < size_ && 0 <= slot && slot < batch.size);
  if (set_->split == "train") return load_stretch(index, epoch, batch, slot);
  LATHE_CHECK(ConfigError, batch.inputs.at(0).dim(0) == 1, set_->type,
              ": tracks are evaluated one by one, \"eval_batch\" must be 1");
  load_track(static_cast<size_t>(index), batch);
}

void SoundDataset::load_stretch(int64_t index, uint32_t epoch, Batch& batch, int64_t slot) const {
  const auto above = std::upper_bound(first_.begin(), first_.end(), index);
  const auto track = static_cast<size_t>(above - first_.begin() - 1);
  const int64_t begin = (index - first_[track]) * stride_, count = options_.samples;
  const int64_t sources = static_cast<int64_t>(set_->sources.size()), c = set_->channels, row = sources * c;
  const float mean = static_cast<float>(set_->tracks[track].mean),
              scale = static_cast<float>(1 / set_->tracks[track].std);
  float* target = batch.targets.at(0).mut<float>() + slot * count * row;
  std::vector<float> samples(static_cast<size_t>(count * c));
  for (int64_t s = 0; s < sources; ++s) {
    const SoundDraw draw = draw_sound(augments_, seed_, epoch, index, s, sources);
    set_->read_source(track, static_cast<size_t>(s), begin + draw.shift, count, samples.data());
    for (int64_t t = 0; t < count; ++t) {
      for (int64_t k = 0; k < c; ++k) {
        const int64_t from = draw.flip_channels && k < 2 && c > 1 ? 1 - k : k;
        target[t * row + s * c + k] = (samples[static_cast<size_t>(t * c + from)] - mean) * scale * draw.gain;
      }
    }
  }
  float* mixture = batch.inputs.at(0).mut<float>() + slot * count * c;
  sum_sources({mixture, static_cast<size_t>(count * c)}, {target, static_cast<size_t>(count * row)}, sources,
              c);
}

void SoundDataset::load_track(size_t track, Batch& batch) const {
  const SoundTrack& about = set_->tracks[track];
  const int64_t count = about.samples, c = set_->channels;
  const int64_t sources = static_cast<int64_t>(set_->sources.size());
  const float mean = static_cast<float>(about.mean), scale = static_cast<float>(1 / about.std);
  if (batch.inputs.at(0).dim(1) != count) {
    batch.inputs[0] = Tensor::empty({1, count, c});
    batch.inputs.at(2) = Tensor::empty({1, count, c});
    batch.targets.at(0) = Tensor::empty({1, count, sources, c});
  }
  float *mixture = batch.inputs.at(2).mut<float>(), *normalized = batch.inputs[0].mut<float>();
  set_->read_mixture(track, 0, count, mixture);
  for (int64_t i = 0; i < count * c; ++i) normalized[i] = (mixture[i] - mean) * scale;
  float* target = batch.targets[0].mut<float>();
  std::vector<float> samples(static_cast<size_t>(count * c));
  for (int64_t s = 0; s < sources; ++s) {
    set_->read_source(track, static_cast<size_t>(s), 0, count, samples.data());
    for (int64_t t = 0; t < count; ++t) {
      for (int64_t k = 0; k < c; ++k)
        target[(t * sources + s) * c + k] = samples[static_cast<size_t>(t * c + k)];
    }
  }
  float* normalized_by = batch.inputs.at(1).mut<float>();
  normalized_by[0] = mean;
  normalized_by[1] = static_cast<float>(about.std);
}

void SoundDataset::finish(Batch& batch, uint32_t epoch, int64_t number) const {
  if (set_->split != "train" || augments_.remix == 0) return;
  Tensor& targets = batch.targets.at(0);
  remix_sources(targets, augments_.remix, seed_, epoch, number);
  sum_sources({batch.inputs.at(0).mut<float>(), static_cast<size_t>(batch.inputs[0].numel())},
              targets.span<float>(), targets.dim(2), targets.dim(3));
}

Value SoundDataset::describe() const {
  Value out = Dataset::describe();
  double seconds = 0;
  Value tracks = Value::array();
  for (const SoundTrack& track : set_->tracks) {
    const double length = static_cast<double>(track.samples) / static_cast<double>(set_->rate);
    seconds += length;
    tracks.push_back(Value::object({{"name", Value::string(track.name)},
                                    {"seconds", Value::real(length)},
                                    {"mixture_std", Value::real(track.std)}}));
  }
  out.set("sample_rate", Value::integer(set_->rate));
  out.set("channels", Value::integer(set_->channels));
  out.set("seconds", Value::real(seconds));
  out.set("tracks", std::move(tracks));
  return out;
}

void resolve_sounds(Value& section, const FieldPath& where) {
  const Value* batch = section.find("eval_batch");
  if (batch->is(Value::Type::Int) && batch->as_int() != 1) {
    config_error(where / "eval_batch", batch->line(),
                 concat("found ", batch->as_int(), ", but tracks are evaluated one by one: expected 1"));
  }
  check_segments(section, where);
  section.set("eval_batch", Value::integer(1));
  section.set("augment", resolve_sound_augments(*section.find("augment"), where / "augment"));
}

}  // namespace lathe
