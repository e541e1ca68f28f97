#pragma once
// The language model of Baevski and Auli (2019) as fairseq builds it, and DiffQ compresses it.

#include "core/fields.h"
#include "layers/adaptive.h"
#include "layers/decoder.h"
#include "layers/model.h"
#include "layers/positions.h"

namespace lathe {

/// The defaults are small; transformer_lm_wiki103 has the papers'.
struct TransformerLmOptions {
  int64_t vocab = 33280;
  std::vector<int64_t> cutoffs = {4000, 12000};
  int64_t factor = 4;
  int64_t width = 256;
  int64_t layers = 4;
  int64_t heads = 4;
  int64_t ffn = 1024;
  int64_t context = 512;
  bool tied = true;
  bool tied_projections = true;
  std::string activation = "relu";
  double dropout = 0.1;
  double attention_dropout = 0;
  double activation_dropout = 0;
  double softmax_dropout = 0;
  double layer_drop = 0;
  int64_t padding = 1;

  void fields(FieldVisitor& v);
};

/// Adaptive input times sqrt(width) plus sinusoidal positions, pre-norm decoder layers, no last norm,
/// adaptive softmax. `forward` gives the logits of the softmax's first level (N, T, first cutoff + tails):
/// what is the same for every token.
class TransformerLm : public LanguageModel {
 public:
  TransformerLm(const TransformerLmOptions& options, const RootOptions& root);
  const char* type() const override { return "TransformerLm"; }
  int64_t vocabulary() const override { return options_.vocab; }
  int64_t context() const override { return options_.context; }
  int64_t padding() const override { return options_.padding; }
  bool steady() const override { return false; }

  Var forward(const Batch& batch) override;
  Var logits(const Tensor& tokens) override;  ///< logarithms of probabilities
  Var loss(const Tensor& tokens, const Tensor& targets) override;
  Var target_log_probabilities(const Tensor& tokens, const Tensor& targets) override;
  Var next_log_probabilities(const Tensor& tokens) override;

  Var features(const Tensor& tokens);  ///< (N, T) -> (N, T, width)

 private:
  bool dropped(const Module& layer) const;

  TransformerLmOptions options_;
  Module decoder_;
  AdaptiveInput embed_tokens_;
  SinusoidalPositions positions_;
  Dropout drop_;
  ModuleList<DecoderLayer> layers_;
  AdaptiveSoftmax adaptive_softmax_;
};

/// 16 layers of 1024 numbers and 267,744 words, with the dropouts of DiffQ's runs.
TransformerLmOptions transformer_lm_wiki103();

}  // namespace lathe
