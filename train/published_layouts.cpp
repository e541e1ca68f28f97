#include "train/published_layouts.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "core/kernels/shape.h"
#include "layers/parameter.h"

namespace lathe {
namespace {

bool has(std::span<const NamedTensor> tensors, std::string_view name) {
  return std::any_of(tensors.begin(), tensors.end(),
                     [&](const NamedTensor& one) { return one.name == name; });
}

Tensor transposed(const Tensor& x) {
  Tensor y = x.empty_like(Shape({x.dim(1), x.dim(0)}));
  kernels::permute(y, x, {1, 0});
  return y;
}

/// "a.old.b" as "a.fresh.b"; true where `old` is there.
bool rename(std::string& name, std::string_view old, std::string_view fresh) {
  const size_t at = name.find(old);
  if (at == std::string::npos) return false;
  name.replace(at, old.size(), fresh);
  return true;
}

std::vector<NamedTensor> from_gpt2(const Parameter& attention, std::span<const NamedTensor> tensors) {
  std::vector<NamedTensor> ours;
  const std::string_view prefix = has(tensors, "wte.weight") ? "transformer." : "";
  for (const NamedTensor& one : tensors) {
    if (one.name.ends_with(".attn.bias") || one.name.ends_with(".attn.masked_bias")) continue;  // masks
    const bool outside = one.name.starts_with("lm_head.");
    ours.push_back({outside ? one.name : concat(prefix, one.name), one.tensor});
  }
  const auto first = std::find_if(ours.begin(), ours.end(),
                                  [&](const NamedTensor& one) { return one.name == attention.path(); });
  const Shape& shape = attention.shape();
  if (first == ours.end() || !(first->tensor.shape() == Shape({shape[1], shape[0]}))) return ours;
  for (NamedTensor& one : ours) {
    for (const char* layer :
         {".attn.c_attn.weight", ".attn.c_proj.weight", ".mlp.c_fc.weight", ".mlp.c_proj.weight"})
      if (one.name.ends_with(layer) && one.tensor.rank() == 2) one.tensor = transposed(one.tensor);
  }
  return ours;
}

std::vector<NamedTensor> from_fairseq(std::span<const NamedTensor> tensors) {
  std::vector<NamedTensor> ours;
  for (const NamedTensor& one : tensors) {
    if (one.name.ends_with(".version") || one.name.ends_with("._float_tensor")) continue;
    std::string name = one.name;
    rename(name, ".layer_norms.0.", ".self_attn_layer_norm.");
    rename(name, ".layer_norms.1.", ".final_layer_norm.");
    const bool stacked = name.find(".self_attn.in_proj_") != std::string::npos;
    if (!stacked || one.tensor.rank() == 0 || one.tensor.dim(0) % 3 != 0) {
      ours.push_back({std::move(name), one.tensor});
      continue;
    }
    const int64_t rows = one.tensor.dim(0) / 3;
    int64_t part = 0;
    for (const char* projection : {".self_attn.q_proj.", ".self_attn.k_proj.", ".self_attn.v_proj."}) {
      std::string own = name;
      rename(own, ".self_attn.in_proj_", projection);
      ours.push_back({std::move(own), one.tensor.rows(part * rows, (part + 1) * rows)});
      ++part;
    }
  }
  return ours;
}

bool is_fairseqs(const Module& model) {
  return model.find_parameter("decoder.embed_tokens.embeddings.0.0.weight") != nullptr;
}

constexpr double kDecoderVersion = 3;  // norms after the stack of layers are in the file
constexpr double kSoftmaxVersion = 1;  // the only one that is read

}  // namespace

std::vector<NamedTensor> marks_of_the_original(const Module& model) {
  if (!is_fairseqs(model)) return {};
  std::vector<NamedTensor> marks{
      {"decoder.version", Tensor::full({1}, kDecoderVersion, DType::F32)},
      {"decoder.embed_tokens._float_tensor", Tensor::zeros({1}, DType::F32)},
      {"decoder.embed_positions._float_tensor", Tensor::zeros({1}, DType::F32)},
      {"decoder.adaptive_softmax.version", Tensor::full({1}, kSoftmaxVersion, DType::I64)}};
  if (model.find_parameter("decoder.adaptive_softmax.head.word_proj.weight") != nullptr)
    marks.push_back({"decoder.adaptive_softmax.head._float_tensor", Tensor::zeros({1}, DType::F32)});
  return marks;
}

std::vector<NamedTensor> in_our_layout(const Module& model, std::span<const NamedTensor> tensors) {
  if (const Parameter* attention = model.find_parameter("transformer.h.0.attn.c_attn.weight"))
    return from_gpt2(*attention, tensors);
  if (is_fairseqs(model)) return from_fairseq(tensors);
  return {tensors.begin(), tensors.end()};
}

}  // namespace lathe
