#include "core/kernels/random.h"

#include <cmath>

#include "core/cpu/isa_random.h"
#include "core/cpu/loop_nest.h"
#include "core/kernels/elementwise.h"

namespace lathe::kernels::cpu {
namespace {

namespace isa = lathe::cpu;

constexpr int64_t kWords = 512;  // drawn at a time; divides the grain

/// fn(offset, words, count) over [0, n): words[i] is word(first + offset + i).
template <class Fn>
void with_words(int64_t n, const Philox& philox, uint64_t first, const Fn& fn) {
  parallel_for(n, isa::kElementGrain, [&](int64_t lo, int64_t hi) {
    std::array<uint32_t, kWords + 4> words;
    for (; lo < hi; lo += kWords) {
      const int64_t count = std::min(kWords, hi - lo);
      const uint64_t begin = first + static_cast<uint64_t>(lo);
      const int64_t skip = static_cast<int64_t>(begin & 3);
      isa::philox_words(words.data(), philox, begin >> 2, chunk_count(skip + count, 4));
      fn(lo, words.data() + skip, count);
    }
  });
}

}  // namespace

void fill_uniform(Tensor& y, double lo, double hi, const Philox& philox) {
  dispatch_floating(y.dtype(), "fill_uniform", [&]<class T>() {
    T* out = y.mut<T>();
    with_words(y.numel(), philox, 0, [&](int64_t at, const uint32_t* words, int64_t n) {
      for (int64_t i = 0; i < n; ++i) {
        out[at + i] = static_cast<T>(lo + (hi - lo) * Philox::to_uniform(words[i]));
      }
    });
  });
}

void fill_normal(Tensor& y, double std, const Philox& philox) {
  constexpr double kTwoPi = 6.283185307179586477;
  dispatch_floating(y.dtype(), "fill_normal", [&]<class T>() {
    T* out = y.mut<T>();
    with_words(2 * y.numel(), philox, 0, [&](int64_t at, const uint32_t* words, int64_t n) {
      for (int64_t i = 0; i < n; i += 2) {
        const double u = (words[i] + 0.5) * 0x1p-32, v = words[i + 1] * 0x1p-32;
        out[(at + i) / 2] = static_cast<T>(std * std::sqrt(-2 * std::log(u)) * std::cos(kTwoPi * v));
      }
    });
  });
}

void dropout(Tensor& y, const Tensor& x, double p, const Philox& philox, uint64_t first) {
  LATHE_ASSERT(y.shape() == x.shape());
  // uniform is (word >> 8) 2^-24: comparing integers is exact.
  const auto threshold = static_cast<uint32_t>(std::ceil(p * 0x1p24));
  dispatch_floating(y.dtype(), "dropout", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = y.mut<T>();
    const T factor = static_cast<T>(1 / (1 - p));
    with_words(y.numel(), philox, first, [&](int64_t at, const uint32_t* words, int64_t n) {
      isa::pick<T>(isa::mask_f32, isa::mask_f64)(out + at, in + at, words, n, threshold, factor);
    });
  });
}

void drop_path(Tensor& y, const Tensor& x, double p, const Philox& philox, uint64_t first) {
  LATHE_ASSERT(y.shape() == x.shape());
  if (x.numel() == 0) return;
  for (int64_t i = 0; i < x.dim(0); ++i) {
    const double keep = std::floor(1 - p + philox.uniform(first + static_cast<uint64_t>(i))) / (1 - p);
    Tensor row = y.rows(i, i + 1);
    unary(row, x.rows(i, i + 1), UnaryOp::Scale, {.a = keep});
  }
}

}  // namespace lathe::kernels::cpu
