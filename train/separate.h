#pragma once
// A separation model over a sound of any length, as demucs applies it: zeros or the surrounding sound where a
// model needs more than it gives back, segments that overlap, averages over random shifts.

#include <functional>

#include "core/parallel.h"
#include "layers/separation_model.h"

namespace lathe {

/// A mixture that is read in parts. `read` fills (count, channels) of the model's element type with samples
/// [from, from + count), zeros before the first and behind the last.
struct MixtureReader {
  int64_t length = 0;  ///< samples
  std::function<void(int64_t from, Tensor& samples)> read;
};

struct SeparateOptions {
  int64_t segment = 0;    ///< samples that are separated at once; 0: the whole sound
  double overlap = 0.25;  ///< share of a segment that the next one covers too, in [0, 1)
  double power = 1;       ///< of the triangle that weighs a segment's samples where segments overlap
  int64_t shifts = 0;     ///< averages over this many shifts by up to `max_shift` samples; 0: none
  int64_t max_shift = 0;
  /// The next shift in [0, max_shift]; empty: drawn from the sound's place, the same every time.
  std::function<int64_t()> next_shift = {};
};

/// Separates the mixture part by part and hands out the sources (count, sources, channels) in order, each
/// sample once. Holds one segment at a time. Gradients are not recorded; the mode is the caller's.
void separate_parts(SeparationModel& model, const MixtureReader& mixture, const SeparateOptions& options,
                    FunctionRef<void(int64_t from, const Tensor& sources)> sink);

/// The same of a tensor (T, channels) on any device: (T, sources, channels) on the host.
Tensor separate(SeparationModel& model, const Tensor& mixture, const SeparateOptions& options = {});

/// Reads from a tensor (T, channels) on the host, which the reader shares.
MixtureReader read_from(const Tensor& mixture);

}  // namespace lathe
