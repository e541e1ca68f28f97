#include "data/sound_inspect.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>

#include "core/error.h"
#include "core/hash.h"

namespace lathe {
namespace {

constexpr int64_t kBlock = 1 << 16;

/// Calls fn(from, count) for the blocks of a track.
template <class Fn>
void for_blocks(int64_t samples, const Fn& fn) {
  for (int64_t from = 0; from < samples; from += kBlock) fn(from, std::min(kBlock, samples - from));
}

uint64_t mixture_hash(const SoundSet& set, size_t track) {
  Hash hash;
  std::vector<float> block(static_cast<size_t>(kBlock * set.channels));
  for_blocks(set.tracks[track].samples, [&](int64_t from, int64_t count) {
    set.read_mixture(track, from, count, block.data());
    hash.add(std::as_bytes(std::span(block).first(static_cast<size_t>(count * set.channels))));
  });
  return hash.value();
}

void look_at_track(const SoundSet& set, size_t track, std::vector<std::string>& findings) {
  const size_t width = static_cast<size_t>(kBlock * set.channels);
  std::vector<float> mixture(width), source(width);
  std::vector<double> sum(width), energies(set.sources.size());
  double whole = 0, rest = 0;
  for_blocks(set.tracks[track].samples, [&](int64_t from, int64_t count) {
    const auto n = static_cast<size_t>(count * set.channels);
    std::fill(sum.begin(), sum.end(), 0);
    for (size_t s = 0; s < set.sources.size(); ++s) {
      set.read_source(track, s, from, count, source.data());
      for (size_t i = 0; i < n; ++i) {
        sum[i] += source[i];
        energies[s] += double{source[i]} * source[i];
      }
    }
    set.read_mixture(track, from, count, mixture.data());
    for (size_t i = 0; i < n; ++i) {
      whole += double{mixture[i]} * mixture[i];
      rest += (mixture[i] - sum[i]) * (mixture[i] - sum[i]);
    }
  });
  const std::string& name = set.tracks[track].name;
  for (size_t s = 0; s < energies.size(); ++s) {
    if (energies[s] == 0) findings.push_back(concat("track '", name, "': '", set.sources[s], "' is silent"));
  }
  if (whole == 0) {
    findings.push_back(concat("track '", name, "': the mixture is silent"));
    return;
  }
  const double decibels = 10 * std::log10(rest / whole);
  constexpr double kAudible = -30;
  if (decibels > kAudible) {
    findings.push_back(concat("track '", name,
                              "': the mixture is not the sum of its sources, the rest is at ",
                              std::round(decibels * 10) / 10, " dB"));
  }
}

}  // namespace

std::vector<std::string> look_at_sounds(const SoundSet& set) {
  std::vector<std::string> findings;
  for (size_t track = 0; track < set.tracks.size(); ++track) look_at_track(set, track, findings);
  return findings;
}

std::vector<std::string> shared_tracks(const SoundSet& train, const SoundSet& test) {
  std::map<uint64_t, std::string> known;
  for (size_t i = 0; i < train.tracks.size(); ++i) known[mixture_hash(train, i)] = train.tracks[i].name;
  std::vector<std::string> shared;
  for (size_t i = 0; i < test.tracks.size(); ++i) {
    const auto found = known.find(mixture_hash(test, i));
    if (found != known.end()) shared.push_back(test.tracks[i].name);
  }
  return shared;
}

}  // namespace lathe
