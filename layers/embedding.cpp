#include "layers/embedding.h"

#include <algorithm>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/embedding.h"

namespace lathe {
namespace {

ParameterSpec weight_spec(const Module& layer, int64_t rows, int64_t dim, const EmbeddingOptions& options) {
  const int64_t padding = options.padding_idx;
  LATHE_CHECK(ConfigError, padding >= -1 && padding < rows, layer.describe(), ": padding index ", padding,
              " is no row of ", rows);
  const Initializer fill = options.weight_init ? options.weight_init : init::normal(1);
  const auto with_padding = [fill, padding, dim](Tensor& tensor, const Philox& philox) {
    fill(tensor, philox);
    if (padding >= 0) std::fill_n(tensor.mut<float>() + padding * dim, dim, 0.0f);
  };
  return {.shape = {rows, dim}, .kind = Kind::Embedding, .init = with_padding};
}

}  // namespace

Embedding::Embedding(Module& parent, std::string name, int64_t rows, int64_t dim,
                     const EmbeddingOptions& options)
    : Module(parent, std::move(name)),
      padding_idx_(options.padding_idx),
      weight_(*this, "weight", weight_spec(*this, rows, dim, options)) {}

Var Embedding::operator()(const Tensor& indices) {
  const ErrorScope scope(*this);
  return cast(embedding(weight_.value(), indices, padding_idx_), activation_dtype());
}

}  // namespace lathe
