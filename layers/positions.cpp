#include "layers/positions.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"

namespace lathe {

Tensor sinusoidal_positions(int64_t rows, int64_t dim, int64_t padding) {
  const int64_t half = dim / 2;
  LATHE_CHECK(ConfigError, half >= 2, "sinusoidal positions: a width of ", dim, ", expected at least 4");
  const auto decay = static_cast<float>(-std::log(10000.0) / static_cast<double>(half - 1));
  Tensor table = Tensor::zeros({rows, dim}, DType::F32);
  float* row = table.mut<float>();
  for (int64_t p = 0; p < rows; ++p, row += dim) {
    if (p == padding) continue;
    for (int64_t j = 0; j < half; ++j) {
      const float exponent = static_cast<float>(j) * decay;
      const float angle = static_cast<float>(p) * static_cast<float>(std::exp(double{exponent}));
      row[j] = static_cast<float>(std::sin(double{angle}));
      row[half + j] = static_cast<float>(std::cos(double{angle}));
    }
  }
  return table;
}

const Tensor& SinusoidalPositions::table(int64_t rows) {
  if (!table_.defined() || table_.dim(0) < rows) table_ = sinusoidal_positions(rows, dim_, padding_);
  return table_;
}

Tensor SinusoidalPositions::operator()(const Tensor& tokens) {
  const int64_t n = tokens.dim(0), length = tokens.dim(1), first = padding_ + 1;
  if (tokens.device() == Device::meta()) return Tensor::empty({length, dim_}, DType::F32, Device::meta());
  const float* rows = table(first + length).ptr<float>();
  const auto bytes = static_cast<size_t>(dim_) * sizeof(float);
  const std::span<const int64_t> ids = tokens.span<int64_t>();
  if (padding_ < 0 || std::find(ids.begin(), ids.end(), padding_) == ids.end()) {
    Tensor there = Tensor::empty({length, dim_}, DType::F32);
    std::memcpy(there.mut<float>(), rows + first * dim_, static_cast<size_t>(length) * bytes);
    return there;
  }
  Tensor there = Tensor::empty({n, length, dim_}, DType::F32);
  float* to = there.mut<float>();
  for (int64_t i = 0; i < n; ++i) {
    int64_t next = first;
    for (int64_t t = 0; t < length; ++t, to += dim_) {
      const bool padded = ids[static_cast<size_t>(i * length + t)] == padding_;
      std::memcpy(to, rows + (padded ? padding_ : next++) * dim_, bytes);
    }
  }
  return there;
}

}  // namespace lathe
