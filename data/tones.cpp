#include "data/tones.h"

#include <algorithm>
#include <array>
#include <string>

#include "core/error.h"
#include "core/hash.h"
#include "core/parallel.h"
#include "core/philox.h"

namespace lathe {
namespace {

// Arithmetic is + - * / only: the same music everywhere. Changing a number makes another data set.
constexpr size_t kSources = 4;
constexpr double kSemitone = 1.0594630943592953;  // 2^(1/12)
constexpr double kLowest = 55;                    // Hz
constexpr std::array<int, 7> kScale = {0, 2, 4, 5, 7, 9, 11};

double note(int semitones) {
  double hertz = kLowest;
  for (int i = 0; i < semitones; ++i) hertz *= kSemitone;
  return hertz;
}

/// A place in a period, in [0, 1).
class Phase {
 public:
  double step(double cycles) {
    at_ += cycles;
    at_ -= static_cast<double>(static_cast<int64_t>(at_));
    return at_;
  }
  void reset() { at_ = 0; }

 private:
  double at_ = 0;
};

/// Two parabolas, within 6 % of a sine.
double round_wave(double phase) {
  const double half = phase < 0.5 ? phase : phase - 0.5;
  const double bow = 16 * half * (0.5 - half);
  return phase < 0.5 ? bow : -bow;
}
double triangle_wave(double phase) {
  return phase < 0.5 ? 4 * phase - 1 : 3 - 4 * phase;
}

/// What all instruments of one track share.
struct Score {
  Philox philox;
  int64_t rate, samples, beat;  // beat in samples
  int key;

  double chance(uint64_t stream, uint64_t i) const { return philox.uniform(stream << 32 | i); }
  int below(uint64_t stream, uint64_t i, uint32_t n) const {
    return static_cast<int>(philox.below(stream << 32 | i, n));
  }
};

using Line = std::vector<double>;  // one instrument, mono

Line drums(const Score& score) {
  Line y(static_cast<size_t>(score.samples));
  double thump = 0, hiss = 0, pitch = 0;
  Phase phase;
  const double rate = static_cast<double>(score.rate);
  const double thump_decay = 1 - 18 / rate, hiss_decay = 1 - 60 / rate, fall = 1 - 25 / rate;
  for (int64_t i = 0; i < score.samples; ++i) {
    const int64_t half_beat = score.beat / 2, place = i / half_beat;
    if (i % half_beat == 0) {
      const bool strong = place % 4 == 0 || score.chance(1, static_cast<uint64_t>(place)) < 0.2;
      if (strong) {
        thump = 0.8;
        pitch = 140;
        phase.reset();
      }
      if (place % 2 == 1) hiss = 0.25 + 0.25 * score.chance(2, static_cast<uint64_t>(place));
    }
    pitch = 45 + (pitch - 45) * fall;
    thump *= thump_decay;
    hiss *= hiss_decay;
    const double noise = 2 * score.chance(3, static_cast<uint64_t>(i)) - 1;
    y[static_cast<size_t>(i)] = thump * round_wave(phase.step(pitch / rate)) + hiss * noise;
  }
  return y;
}

Line bass(const Score& score) {
  Line y(static_cast<size_t>(score.samples));
  Phase first, third, fifth;
  double level = 0, hertz = kLowest;
  const double rate = static_cast<double>(score.rate), decay = 1 - 3 / rate;
  for (int64_t i = 0; i < score.samples; ++i) {
    if (i % score.beat == 0) {
      const auto degree = static_cast<size_t>(score.below(4, static_cast<uint64_t>(i / score.beat), 5));
      hertz = note(score.key + kScale[degree]);
      level = 0.6;
    }
    level *= decay;
    const double step = hertz / rate;
    y[static_cast<size_t>(i)] = level * (round_wave(first.step(step)) + round_wave(third.step(3 * step)) / 3 +
                                         round_wave(fifth.step(5 * step)) / 5);
  }
  return y;
}

Line other(const Score& score) {
  Line y(static_cast<size_t>(score.samples));
  std::array<Phase, 3> voices;
  std::array<double, 3> hertz{};
  Phase tremolo;
  const double rate = static_cast<double>(score.rate);
  const int64_t bar = 4 * score.beat;
  for (int64_t i = 0; i < score.samples; ++i) {
    if (i % bar == 0) {
      const int root = score.below(5, static_cast<uint64_t>(i / bar), 4);
      for (int v = 0; v < 3; ++v)
        hertz[static_cast<size_t>(v)] =
            note(24 + score.key + kScale[static_cast<size_t>((root + 2 * v) % 7)]);
    }
    double sum = 0;
    for (size_t v = 0; v < voices.size(); ++v) sum += triangle_wave(voices[v].step(hertz[v] / rate));
    y[static_cast<size_t>(i)] = (0.13 + 0.05 * round_wave(tremolo.step(5 / rate))) * sum;
  }
  return y;
}

Line vocals(const Score& score) {
  Line y(static_cast<size_t>(score.samples));
  std::array<Phase, 3> partials;
  Phase vibrato;
  double level = 0, target = 0, hertz = note(36);
  const double rate = static_cast<double>(score.rate), glide = 60 / rate;
  double sung = hertz;
  for (int64_t i = 0; i < score.samples; ++i) {
    const int64_t length = score.beat * 3 / 2;
    if (i % length == 0) {
      const auto place = static_cast<uint64_t>(i / length);
      target = score.chance(6, place) < 0.25 ? 0 : 0.45;
      hertz = note(36 + score.key + kScale[static_cast<size_t>(score.below(7, place, 7))]);
    }
    level += (target - level) * glide;
    sung += (hertz - sung) * glide;
    const double step = sung * (1 + 0.012 * round_wave(vibrato.step(5.5 / rate))) / rate;
    y[static_cast<size_t>(i)] =
        level * (round_wave(partials[0].step(step)) + 0.5 * round_wave(partials[1].step(2 * step)) +
                 0.3 * round_wave(partials[2].step(3 * step)));
  }
  return y;
}

class Tones : public SoundSet {
 public:
  void read_mixture(size_t track, int64_t from, int64_t count, float* to) const override {
    const int64_t n = count * channels;
    std::fill(to, to + n, 0.0f);
    for (const std::vector<float>& one : samples[track]) {
      for (int64_t i = 0; i < n; ++i) to[i] += one[static_cast<size_t>(from * channels + i)];
    }
  }
  void read_source(size_t track, size_t source, int64_t from, int64_t count, float* to) const override {
    std::copy_n(samples[track][source].begin() + from * channels, count * channels, to);
  }

  std::vector<std::array<std::vector<float>, kSources>> samples;  // (T, channels) each
};

/// Spreads a mono line over the channels: louder on one side.
std::vector<float> spread(const Line& line, int64_t channels, double side) {
  std::vector<float> y(line.size() * static_cast<size_t>(channels));
  for (size_t i = 0; i < line.size(); ++i) {
    for (int64_t c = 0; c < channels; ++c) {
      const double gain = channels == 1 ? 1 : c % 2 == 0 ? 1 - side : 1 + side;
      y[i * static_cast<size_t>(channels) + static_cast<size_t>(c)] =
          static_cast<float>(0.5 * gain * line[i]);
    }
  }
  return y;
}

void draw_track(Tones& set, size_t track, uint64_t seed) {
  const Philox philox{seed, stream_id("tones/" + set.split), static_cast<uint32_t>(track)};
  const int64_t beats_a_minute = 90 + philox.below(0, 60);
  const Score score{.philox = philox,
                    .rate = set.rate,
                    .samples = set.tracks[track].samples,
                    .beat = std::max<int64_t>(2, set.rate * 60 / beats_a_minute),
                    .key = static_cast<int>(philox.below(1, 12))};
  const std::array<Line, kSources> lines = {drums(score), bass(score), other(score), vocals(score)};
  for (size_t s = 0; s < kSources; ++s) {
    const double side = 0.8 * (philox.uniform(2 + s) - 0.5);
    set.samples[track][s] = spread(lines[s], set.channels, side);
  }
}

}  // namespace

std::unique_ptr<SoundSet> generate_tones(const TonesSize& size, uint64_t seed, std::string_view split) {
  LATHE_CHECK(ConfigError, size.tracks >= 1 && size.samples >= 1 && size.rate >= 1 && size.channels >= 1,
              "tones: tracks, samples, rate and channels must be positive, found ", size.tracks, ", ",
              size.samples, ", ", size.rate, " and ", size.channels);
  auto set = std::make_unique<Tones>();
  set->type = "tones";
  set->split = split;
  set->sources = {"drums", "bass", "other", "vocals"};
  set->rate = size.rate;
  set->channels = size.channels;
  set->samples.resize(static_cast<size_t>(size.tracks));
  for (int64_t i = 0; i < size.tracks; ++i)
    set->tracks.push_back({.name = concat("tones-", i < 10 ? "0" : "", i), .samples = size.samples});
  parallel_for(size.tracks, 1, [&](int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; ++i) draw_track(*set, static_cast<size_t>(i), seed);
  });
  Hash hash;
  std::vector<float> mixture(static_cast<size_t>(size.samples * size.channels));
  for (size_t i = 0; i < set->tracks.size(); ++i) {
    SoundStatistics statistics(size.channels);
    set->read_mixture(i, 0, size.samples, mixture.data());
    statistics.add(mixture.data(), size.samples);
    set->tracks[i].mean = statistics.mean();
    set->tracks[i].std = statistics.std();
    for (const std::vector<float>& one : set->samples[i]) hash.add(std::as_bytes(std::span(one)));
  }
  set->content_hash = hash.hex();
  return set;
}

}  // namespace lathe
