#pragma once
// Adaptive input and softmax (Baevski and Auli 2019; Grave et al. 2017): frequent words get wide vectors,
// rare ones narrow ones. Names and formulas of fairseq.

#include <memory>
#include <string>
#include <vector>

#include "layers/bands.h"
#include "layers/dropout.h"
#include "layers/embedding.h"
#include "layers/linear.h"

namespace lathe {

/// width / factor^band. ConfigError where that is less than 1.
int64_t band_width(int64_t width, int64_t factor, int64_t band);

/// "N.0": the vectors of a band (size, width of the band), from N(0, 1 / width); "N.1": their projection to
/// the model's width, without bias.
struct InputBand : Module {
  InputBand(Module& parent, std::string name, int64_t rows, int64_t dim, int64_t width, int64_t padding,
            bool padding_is_ours);
  Embedding vectors;
  Linear projection;
};

/// Token ids (N, T) to (N, T, width).
class AdaptiveInput : public Module {
 public:
  /// Token `padding` (-1: none) lies in the first band and starts at zero without a gradient from here; so
  /// does, as with the authors, the row of that number in every band, which later has one.
  AdaptiveInput(Module& parent, std::string name, const Bands& bands, int64_t width, int64_t factor,
                int64_t padding);
  const char* type() const override { return "AdaptiveInput"; }

  /// `tokens` on the host or meta.
  Var operator()(const Tensor& tokens);
  InputBand& band(int64_t b) { return *bands_[static_cast<size_t>(b)]; }

 private:
  Bands split_;
  int64_t width_;
  Module embeddings_;
  std::vector<std::unique_ptr<InputBand>> bands_;
};

struct AdaptiveSoftmaxOptions {
  int64_t width = 1;
  int64_t factor = 4;
  double dropout = 0;
  bool tied = true;              ///< words' weights are the input's vectors
  bool tied_projections = true;  ///< and so are the tails' projections
  int64_t padding = -1;
};

/// The first level has a logit for each word of the first band and one for each other band; the second, for a
/// word of such a band, a softmax within it.
class AdaptiveSoftmax : public Module {
 public:
  /// `input` is what weights are tied to.
  AdaptiveSoftmax(Module& parent, std::string name, const Bands& bands, AdaptiveInput& input,
                  const AdaptiveSoftmaxOptions& options);
  ~AdaptiveSoftmax() override;
  const char* type() const override { return "AdaptiveSoftmax"; }

  /// features (..., width) -> (..., first cutoff + tails): logits of the first level.
  Var first_level(const Var& features);
  /// Mean over the targets that count of -log p. targets (N, T) on the host or meta; kUnscored ones and the
  /// padding do not count. As with the authors, a target whose number within its tail is the padding's adds
  /// only its first level's part.
  Var loss(const Var& features, const Tensor& targets);
  /// (N, T): log p of the targets, 0 of kUnscored ones.
  Var target_log_probabilities(const Var& features, const Tensor& targets);
  /// (..., vocabulary).
  Var log_probabilities(const Var& features);

 private:
  class Head;
  class Tail;
  struct Targets;
  Targets read(const Tensor& targets, bool as_the_authors) const;
  Var head(const Var& x);

  Bands bands_;
  AdaptiveSoftmaxOptions options_;
  std::unique_ptr<Head> head_;  // tied
  std::unique_ptr<Linear> untied_head_;
  std::unique_ptr<Module> tail_;
  std::vector<std::unique_ptr<Tail>> tails_;
  std::unique_ptr<Dropout> dropout_;
};

}  // namespace lathe
