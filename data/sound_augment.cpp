#include "data/sound_augment.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/philox.h"

namespace lathe {
namespace {

using Step = std::function<void(SoundAugments&)>;

struct ShiftOptions {
  int64_t samples = 44100;
  void fields(FieldVisitor& v) {
    v.visit("samples", samples,
            {.doc = "each source begins up to this many samples later", .min = 1, .max = 1e9});
  }
};
struct ChanceOptions {
  double p = 0.5;
  void fields(FieldVisitor& v) { v.visit("p", p, {.doc = "chance of each source", .min = 0, .max = 1}); }
};
struct GainOptions {
  double min = 0.25, max = 1.25;
  void fields(FieldVisitor& v) {
    v.visit("min", min, {.doc = "least factor of a source", .min = 0, .max = 1000});
    v.visit("max", max, {.doc = "largest factor of a source", .min = 0, .max = 1000});
  }
};
struct RemixOptions {
  int64_t group = 4;
  void fields(FieldVisitor& v) {
    v.visit("group", group, {.doc = "samples of a batch that exchange sources", .min = 2, .max = 1 << 16});
  }
};

template <class Options, class Apply>
SoundAugmentRegistry::Entry entry(std::string name, std::string doc, Apply apply) {
  return make_entry<Step>(std::move(name), std::move(doc), Options{},
                          [apply](const Options& options) -> Step {
                            return [apply, options](SoundAugments& augments) { apply(augments, options); };
                          });
}

Philox stream(const char* name, uint64_t seed, uint32_t epoch) {
  return {seed, stream_id(name), epoch};
}

}  // namespace

SoundDraw draw_sound(const SoundAugments& augments, uint64_t seed, uint32_t epoch, int64_t index,
                     int64_t source, int64_t sources) {
  const auto at = static_cast<uint64_t>(index * sources + source);
  SoundDraw draw;
  if (augments.shift > 0)
    draw.shift = stream("sound/shift", seed, epoch).below(at, static_cast<uint32_t>(augments.shift + 1));
  draw.flip_channels =
      double{stream("sound/flip_channels", seed, epoch).uniform(at)} < augments.flip_channels;
  const double share = stream("sound/gain", seed, epoch).uniform(at);
  draw.gain = static_cast<float>(augments.gain_lo + share * (augments.gain_hi - augments.gain_lo));
  if (double{stream("sound/flip_sign", seed, epoch).uniform(at)} < augments.flip_sign) draw.gain = -draw.gain;
  return draw;
}

void remix_sources(Tensor& targets, int64_t group, uint64_t seed, uint32_t epoch, int64_t number) {
  const int64_t n = targets.dim(0), times = targets.dim(1), sources = targets.dim(2), c = targets.dim(3);
  const Philox philox = stream("sound/remix", seed, epoch);
  const std::vector<float> before(targets.ptr<float>(), targets.ptr<float>() + targets.numel());
  float* to = targets.mut<float>();
  std::vector<int64_t> order;
  for (int64_t first = 0; first < n; first += group) {
    order.resize(static_cast<size_t>(std::min(group, n - first)));
    for (int64_t s = 0; s < sources; ++s) {
      std::iota(order.begin(), order.end(), first);
      const auto words = static_cast<uint64_t>(((number * (n + group) + first) * sources + s) * group);
      for (size_t i = order.size(); i-- > 1;)
        std::swap(order[i], order[philox.below(words + i, static_cast<uint32_t>(i + 1))]);
      for (size_t i = 0; i < order.size(); ++i) {
        const int64_t item = first + static_cast<int64_t>(i);
        for (int64_t t = 0; t < times; ++t)
          std::copy_n(before.data() + ((order[i] * times + t) * sources + s) * c, c,
                      to + ((item * times + t) * sources + s) * c);
      }
    }
  }
}

void sum_sources(std::span<float> mixture, std::span<const float> sources, int64_t count, int64_t channels) {
  const auto width = static_cast<size_t>(channels), row = static_cast<size_t>(count) * width;
  for (size_t t = 0; t * width < mixture.size(); ++t) {
    for (size_t c = 0; c < width; ++c) {
      float sum = 0;
      for (size_t s = 0; s < static_cast<size_t>(count); ++s) sum += sources[t * row + s * width + c];
      mixture[t * width + c] = sum;
    }
  }
}

const SoundAugmentRegistry& sound_augment_registry() {
  static const SoundAugmentRegistry registry(
      "augmentation of sound",
      {entry<ShiftOptions>("shift", "each source begins a random number of samples later",
                           [](SoundAugments& a, const ShiftOptions& o) { a.shift = o.samples; }),
       entry<ChanceOptions>("flip_sign", "each source times -1 at random",
                            [](SoundAugments& a, const ChanceOptions& o) { a.flip_sign = o.p; }),
       entry<ChanceOptions>("flip_channels", "left and right of each source change places at random",
                            [](SoundAugments& a, const ChanceOptions& o) { a.flip_channels = o.p; }),
       entry<GainOptions>("gain", "each source times a random factor",
                          [](SoundAugments& a, const GainOptions& o) {
                            a.gain_lo = o.min;
                            a.gain_hi = o.max;
                          }),
       entry<RemixOptions>("remix", "sources change places among the samples of a batch",
                           [](SoundAugments& a, const RemixOptions& o) { a.remix = o.group; })});
  return registry;
}

SoundAugments read_sound_augments(const Value& list, const FieldPath& where) {
  if (!list.is(Value::Type::Array))
    config_error(where, list.line(), concat("expected an array, found ", lathe::describe(list)));
  SoundAugments augments;
  std::vector<std::string> seen;
  for (size_t i = 0; i < list.items().size(); ++i) {
    const Value& item = list.items()[i];
    sound_augment_registry().build(item, where[i])(augments);
    const std::string& type = item.find("type")->as_string();
    if (std::find(seen.begin(), seen.end(), type) != seen.end())
      config_error(where[i], item.line(), concat("'", type, "' is given twice"));
    seen.push_back(type);
  }
  if (augments.gain_lo > augments.gain_hi)
    config_error(where, list.line(),
                 concat("gain: 'min' is ", augments.gain_lo, ", above 'max' ", augments.gain_hi));
  return augments;
}

Value resolve_sound_augments(const Value& list, const FieldPath& where) {
  if (!list.is(Value::Type::Array)) return list;
  Value resolved = Value::array();
  for (size_t i = 0; i < list.items().size(); ++i)
    resolved.push_back(sound_augment_registry().resolve(list.items()[i], where[i]));
  return resolved;
}

}  // namespace lathe
