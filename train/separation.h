#pragma once
// The task of music separation: L1 training, SDR of whole tracks.

#include <memory>
#include <span>
#include <vector>

#include "train/tasks.h"

namespace lathe {

/// Training: the loss between the model's output and the sources, trimmed about their middle to its length;
/// so stretches have a valid length (build_training checks).
/// Evaluation: each track of a batch is separated by overlapping segments (train/separate.h) as data.sound
/// says, the normalisation undone. Metrics: loss (of the normalised tracks), sdr (mean over the sources), and
/// sdr_NAME of each source, by museval_sdr: medians over frames, then over tracks. sdr_mixture is the score
/// of handing out the mixture itself. ConfigError for a loss that is no distance between sounds.
std::unique_ptr<Task> separation_task(std::unique_ptr<Loss> loss, const DatasetInfo& data);

/// SDR of BSSEval v4 as museval defines it (Stöter et al. 2018; "images", one filter for the track), which is
/// framewise 10 log10(|s|^2 / |e - s|^2) with all channels together: the distortion filters of BSSEval cancel
/// in it (metrics.md 5.3). reference and estimate (T, sources, channels) f32 on the host; frames of `rate`
/// samples side by side, a shorter last one left out unless it is the only one. Of each source the median
/// over the frames, NaN where there is none: frames in which a reference or an estimate is silent (all sums
/// over channels are 0) count for no source. A perfect frame is +inf.
std::vector<double> museval_sdr(const Tensor& reference, const Tensor& estimate, int64_t rate);

/// Of the numbers among `values`, the mean of the middle two for an even count; NaN without any.
double nan_median(std::vector<double> values);

}  // namespace lathe
