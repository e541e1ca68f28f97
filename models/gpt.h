#pragma once
// A decoder-only language model (Radford et al. 2019), as nanoGPT builds it.

#include "core/fields.h"
#include "layers/embedding.h"
#include "layers/model.h"
#include "layers/transformer.h"

namespace lathe {

struct GptOptions {
  int64_t context = 256;
  int64_t vocab = 65;
  int64_t layers = 6;
  int64_t heads = 6;
  int64_t width = 384;
  double dropout = 0.2;
  bool bias = false;
  bool tied = true;
  std::string activation = "gelu";

  void fields(FieldVisitor& v) {
    v.visit("context", context, {.doc = "most tokens of a sequence", .min = 1});
    v.visit("vocab", vocab, {.doc = "number of tokens", .min = 1});
    v.visit("layers", layers, {.doc = "transformer blocks", .min = 1});
    v.visit("heads", heads, {.doc = "attention heads; they divide 'width'", .min = 1});
    v.visit("width", width, {.doc = "numbers per token", .min = 1});
    v.visit("dropout", dropout,
            {.doc = "dropout of embeddings, attention probabilities and branches", .min = 0, .max = 1});
    v.visit("bias", bias, {.doc = "biases of linear layers and norms; the head has none"});
    v.visit("tied", tied, {.doc = "the head's weight is the token embedding; else a tensor of its own"});
    v.visit("activation", activation,
            {.doc = "of the hidden layers; published GPT-2 weights expect gelu_tanh",
             .choices = {"gelu", "gelu_tanh"}});
  }
};

/// The head's weight is the token embedding unless told otherwise. Linear weights and embeddings start from
/// N(0, 0.02^2), the last projection of each branch from a standard deviation smaller by sqrt(2 layers),
/// biases from 0.
class Gpt : public LanguageModel {
 public:
  Gpt(const GptOptions& options, const RootOptions& root);
  const char* type() const override { return "Gpt"; }
  int64_t vocabulary() const override { return options_.vocab; }
  int64_t context() const override { return options_.context; }
  Var logits(const Tensor& tokens) override;

 private:
  GptOptions options_;
  Module transformer_;
  Embedding wte_, wpe_;
  Dropout drop_;
  ModuleList<TransformerBlock> h_;
  LayerNorm ln_f_;
  Linear lm_head_;
};

}  // namespace lathe
