#include "layers/adaptive.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/embedding.h"
#include "autograd/ops/shape.h"

namespace lathe {
namespace {

Initializer zero_row(const Initializer& fill, int64_t row, int64_t dim) {
  if (row < 0) return fill;
  return [fill, row, dim](Tensor& tensor, const Philox& philox) {
    fill(tensor, philox);
    std::fill_n(tensor.mut<float>() + row * dim, dim, 0.0f);
  };
}

}  // namespace

int64_t band_width(int64_t width, int64_t factor, int64_t band) {
  for (int64_t b = 0; b < band; ++b) width /= factor;
  LATHE_CHECK(ConfigError, width > 0, "adaptive: no numbers are left for words of band ", band,
              "; 'factor' divides 'width' once per band");
  return width;
}

InputBand::InputBand(Module& parent, std::string name, int64_t rows, int64_t dim, int64_t width,
                     int64_t padding, bool padding_is_ours)
    : Module(parent, std::move(name)),
      vectors(*this, "0", rows, dim,
              {.padding_idx = padding_is_ours ? padding : -1,
               .weight_init = zero_row(init::normal(1 / std::sqrt(static_cast<double>(dim))),
                                       padding < rows ? padding : -1, dim)}),
      projection(*this, "1", dim, width, {.bias = false, .weight_init = init::xavier_uniform(dim, width)}) {}

AdaptiveInput::AdaptiveInput(Module& parent, std::string name, const Bands& bands, int64_t width,
                             int64_t factor, int64_t padding)
    : Module(parent, std::move(name)), split_(bands), width_(width), embeddings_(*this, "embeddings") {
  LATHE_CHECK(ConfigError, padding < bands.size(0), describe(), ": padding ", padding,
              " is not in the first band, of ", bands.size(0), " words");
  for (int64_t b = 0; b < bands.count(); ++b) {
    bands_.push_back(std::make_unique<InputBand>(embeddings_, std::to_string(b), bands.size(b),
                                                 band_width(width, factor, b), width, padding, b == 0));
  }
}

Var AdaptiveInput::operator()(const Tensor& tokens) {
  const ErrorScope scope(*this);
  const BandSplit split = split_bands(split_, tokens, device());
  std::vector<Var> parts;
  for (int64_t b = 0; b < split_.count(); ++b) {
    if (split.count(b) == 0) continue;
    InputBand& own = band(b);
    parts.push_back(own.projection(own.vectors(split.ids[static_cast<size_t>(b)])));
  }
  const Var all = parts.size() == 1 ? parts[0] : concat(parts, 0);
  return reshape(embedding(all, split.rows), {tokens.dim(0), tokens.dim(1), width_});
}

}  // namespace lathe
