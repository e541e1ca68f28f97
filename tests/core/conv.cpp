// Convolution kernels against a plain loop in double, on every instruction set.

#include "core/kernels/conv.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "core/cpu/isa.h"
#include "core/math_mode.h"
#include "core/parallel.h"
#include "tests/support/kernels.h"

namespace lathe {
namespace {

struct Case {
  std::string name;
  int64_t n, h, w, c, k, kh, kw;
  Conv2dGeometry g;
  int64_t left_out = 0;  // last rows and columns of y: a transposed convolution's output padding
};

const std::vector<Case> kOther = {
    {"3x3 padded", 2, 9, 11, 16, 16, 3, 3, {.pad_h = 1, .pad_w = 1}},
    {"3x3 wide line", 1, 5, 37, 17, 33, 3, 3, {.pad_h = 1, .pad_w = 1}},
    {"3x3 valid, odd channels", 2, 8, 9, 19, 21, 3, 3, {}},
    {"first layer", 3, 12, 13, 3, 16, 3, 3, {.pad_h = 1, .pad_w = 1}},
    {"first layer, stride 2, 7x7", 2, 15, 14, 3, 20, 7, 7, {2, 2, 3, 3, 1, 1, 1}},
    {"stride 2", 3, 10, 12, 16, 32, 3, 3, {2, 2, 1, 1, 1, 1, 1}},
    {"stride 2, odd size", 2, 9, 23, 20, 40, 3, 3, {2, 2, 1, 1, 1, 1, 1}},
    {"stride 2, weights from the image", 3, 17, 19, 64, 40, 3, 3, {2, 2, 1, 1, 1, 1, 1}},
    {"the same, groups, dilation, unequal strides", 2, 12, 40, 32, 24, 3, 5, {1, 3, 1, 4, 1, 2, 2}},
    {"the same, one row of taps", 2, 9, 34, 16, 17, 1, 3, {2, 2, 0, 1, 1, 1, 1}},
    {"the same, long lines", 33, 1, 520, 16, 17, 1, 3, {1, 2, 0, 1, 1, 1, 1}},
    {"stride 3, kernel 2: pixels without taps", 2, 11, 10, 9, 5, 2, 2, {3, 3, 0, 0, 1, 1, 1}},
    {"asymmetric", 2, 9, 14, 5, 6, 2, 4, {1, 3, 2, 1, 1, 1, 1}},
    {"asymmetric dilation", 2, 13, 12, 8, 12, 3, 2, {2, 1, 1, 2, 2, 3, 1}},
    {"dilation and stride share a factor", 1, 14, 14, 10, 3, 3, 3, {2, 2, 2, 2, 2, 2, 1}},
    {"padding beyond the kernel", 1, 5, 6, 4, 4, 2, 2, {1, 1, 3, 3, 1, 1, 1}},
    {"pointwise", 3, 7, 5, 48, 40, 1, 1, {}},
    {"pointwise, stride 2", 2, 9, 17, 24, 16, 1, 1, {2, 2, 0, 0, 1, 1, 1}},
    {"pointwise, stride 2, narrow images", 5, 7, 6, 40, 36, 1, 1, {2, 2, 0, 0, 1, 1, 1}},
    {"pointwise, unequal strides", 2, 9, 10, 70, 20, 1, 1, {1, 3, 0, 0, 1, 1, 1}},
    {"pointwise, stride 2, groups", 2, 9, 17, 36, 24, 1, 1, {2, 2, 0, 0, 1, 1, 2}},
    {"pointwise, padded", 2, 4, 9, 6, 7, 1, 1, {1, 1, 1, 1, 1, 1, 1}},
    {"patches", 2, 16, 40, 3, 24, 4, 4, {4, 4, 0, 0, 1, 1, 1}},
    {"narrow images", 19, 4, 4, 32, 48, 3, 3, {.pad_h = 1, .pad_w = 1}},
    {"narrow images, stride 2", 18, 7, 7, 17, 9, 3, 3, {2, 2, 1, 1, 1, 1, 1}},
    {"one pixel", 5, 1, 1, 33, 18, 1, 1, {}},
    {"long sequence", 1, 1, 700, 6, 12, 1, 8, {1, 4, 0, 2, 1, 1, 1}},
    {"tall", 1, 60, 3, 12, 8, 5, 1, {.pad_h = 2}},
    {"one column", 1, 7, 1, 20, 16, 3, 1, {.pad_h = 1}},
    {"one column, few outputs", 1, 5, 1, 33, 8, 3, 1, {.pad_h = 1}},
    {"one column, few inputs", 1, 6, 1, 8, 36, 3, 1, {.pad_h = 1}},
    {"one column of two", 1, 5, 2, 16, 12, 3, 2, {.pad_h = 1}},
    {"one column of four", 1, 5, 4, 16, 7, 3, 4, {.pad_h = 1}},
    {"one column, stride 2", 1, 9, 1, 16, 16, 5, 1, {2, 1, 2, 0, 1, 1, 1}},
    {"truncated last window", 1, 8, 8, 7, 5, 3, 3, {2, 2, 0, 0, 1, 1, 1}},
    {"groups", 2, 6, 9, 12, 20, 3, 3, {1, 1, 1, 1, 1, 1, 4}},
    {"groups of 20", 2, 6, 9, 40, 36, 3, 3, {2, 1, 1, 1, 1, 1, 2}},
    {"empty batch", 0, 6, 6, 8, 8, 3, 3, {.pad_h = 1, .pad_w = 1}},
    {"empty batch, depthwise", 0, 6, 6, 8, 8, 3, 3, {1, 1, 1, 1, 1, 1, 8}},
    {"many chunks", 70, 8, 8, 16, 16, 3, 3, {.pad_h = 1, .pad_w = 1}},
    {"line of 257", 1, 2, 257, 10, 7, 3, 3, {.pad_h = 1, .pad_w = 1}},
    {"pointwise, many pixels", 3, 13, 17, 20, 70, 1, 1, {}},
    {"several row blocks", 1, 40, 33, 32, 16, 3, 3, {.pad_h = 1, .pad_w = 1}},
    {"large gradient", 2, 4, 9, 256, 264, 3, 3, {.pad_h = 1, .pad_w = 1}},
    {"pointwise, outputs left out", 2, 7, 9, 20, 18, 1, 1, {}, 1},
    {"pointwise, outputs left out, product", 2, 7, 9, 64, 72, 1, 1, {}, 1},
    {"pointwise, stride 2, outputs left out", 2, 9, 10, 20, 18, 1, 1, {2, 2, 0, 0, 1, 1, 1}, 1},
    {"pointwise, stride 2, outputs left out, product", 2, 9, 9, 72, 64, 1, 1, {2, 2, 0, 0, 1, 1, 1}, 2},
    {"pointwise, narrow images, outputs left out", 5, 4, 3, 33, 18, 1, 1, {}, 2},
    {"dilation 3, outputs left out", 2, 9, 11, 9, 12, 3, 3, {1, 1, 2, 2, 3, 3, 1}, 2},
    {"every tap in the padding", 1, 1, 1, 2, 1, 1, 2, {2, 2, 1, 1, 1, 1, 1}},
    {"every tap in the padding, groups", 3, 1, 1, 34, 36, 1, 1, {2, 2, 1, 1, 1, 1, 2}},
};

const std::vector<Case> kDepthwise = {
    {"depthwise", 2, 9, 10, 35, 35, 3, 3, {1, 1, 1, 1, 1, 1, 35}},
    {"depthwise, stride 2", 2, 9, 10, 16, 16, 3, 3, {2, 2, 1, 1, 1, 1, 16}},
    {"depthwise rows", 3, 7, 13, 32, 32, 3, 3, {1, 1, 1, 1, 1, 1, 32}},
    {"depthwise rows, stride 2", 2, 8, 12, 16, 16, 3, 3, {2, 2, 1, 1, 1, 1, 16}},
    {"depthwise rows, stride 2, odd size", 3, 9, 15, 16, 16, 3, 3, {2, 2, 1, 1, 1, 1, 16}},
    {"depthwise rows, 4x4 maps", 9, 4, 4, 64, 64, 3, 3, {1, 1, 1, 1, 1, 1, 64}},
    {"depthwise rows, 4x4 to 2x2", 5, 4, 4, 32, 32, 3, 3, {2, 2, 1, 1, 1, 1, 32}},
    {"depthwise rows, 7x7 to 4x4", 5, 7, 7, 16, 16, 3, 3, {2, 2, 1, 1, 1, 1, 16}},
    {"depthwise rows, 2x2 maps", 67, 2, 2, 16, 16, 3, 3, {1, 1, 1, 1, 1, 1, 16}},
    {"depthwise rows, 2x2 to 1x1", 3, 2, 2, 16, 16, 3, 3, {2, 2, 1, 1, 1, 1, 16}},
    {"depthwise rows, one pixel", 2, 1, 1, 16, 16, 3, 3, {1, 1, 1, 1, 1, 1, 16}},
    {"depthwise rows, one pixel, stride 2", 2, 1, 1, 16, 16, 3, 3, {2, 2, 1, 1, 1, 1, 16}},
    {"depthwise rows, one row", 1, 1, 40, 16, 16, 3, 3, {1, 1, 1, 1, 1, 1, 16}},
    {"depthwise rows, one column", 2, 11, 1, 16, 16, 3, 3, {2, 2, 1, 1, 1, 1, 16}},
    {"depthwise rows, three columns", 2, 5, 3, 16, 16, 3, 3, {1, 1, 1, 1, 1, 1, 16}},
    {"depthwise rows, wider than a band", 1, 40, 64, 48, 48, 3, 3, {1, 1, 1, 1, 1, 1, 48}},
    {"depthwise, unequal strides", 2, 9, 10, 16, 16, 3, 3, {1, 2, 1, 1, 1, 1, 16}},
    {"depthwise, no padding", 2, 9, 10, 16, 16, 3, 3, {2, 2, 0, 0, 1, 1, 16}},
    {"depthwise 5x5, stride 2", 2, 11, 12, 18, 18, 5, 5, {2, 2, 2, 2, 1, 1, 18}},
    {"depthwise, even kernel, dilated", 1, 12, 9, 20, 20, 2, 4, {1, 2, 3, 1, 2, 1, 20}},
    {"depthwise, multiplier 3", 2, 7, 8, 6, 18, 3, 3, {1, 1, 1, 1, 1, 1, 6}},
    {"depthwise, one column", 3, 9, 1, 8, 8, 3, 1, {.pad_h = 1, .groups = 8}},
    {"depthwise, pointwise, outputs left out", 2, 6, 7, 18, 18, 1, 1, {.groups = 18}, 1},
    {"depthwise, dilated, outputs left out", 2, 8, 9, 16, 16, 3, 3, {1, 1, 2, 2, 2, 2, 16}, 1},
};

const std::vector<Case>& cases() {
  static const std::vector<Case> table = [] {
    std::vector<Case> all = kOther;
    all.insert(all.end(), kDepthwise.begin(), kDepthwise.end());
    return all;
  }();
  return table;
}

/// Multiples of 1/64 in [-1, 1), so that they are the same in f32 and f64.
std::vector<double> numbers(int64_t count, uint64_t seed) {
  std::vector<double> values(static_cast<size_t>(count));
  uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  for (double& value : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = static_cast<double>(state >> 57) / 64.0 - 1.0;
  }
  return values;
}

struct Buffers {
  std::vector<double> x, w, bias, y, dy, dx, dw;
};

struct Sizes {
  int64_t oh, ow, x, w, y, cg, kg;
  explicit Sizes(const Case& c)
      : oh(conv_out(c.h, c.kh, c.g.stride_h, c.g.pad_h, c.g.dilation_h) - c.left_out),
        ow(conv_out(c.w, c.kw, c.g.stride_w, c.g.pad_w, c.g.dilation_w) - c.left_out),
        x(c.n * c.h * c.w * c.c),
        w(c.k * c.kh * c.kw * (c.c / c.g.groups)),
        y(c.n * oh * ow * c.k),
        cg(c.c / c.g.groups),
        kg(c.k / c.g.groups) {}
};

/// Calls visit(x index, y index, tap) for every product of a channel pair's windows.
template <class Visit>
void each_product(const Case& c, const Sizes& s, Visit visit) {
  for (int64_t n = 0; n < c.n; ++n) {
    for (int64_t i = 0; i < s.oh; ++i) {
      for (int64_t j = 0; j < s.ow; ++j) {
        for (int64_t t = 0; t < c.kh * c.kw; ++t) {
          const int64_t h = i * c.g.stride_h + t / c.kw * c.g.dilation_h - c.g.pad_h;
          const int64_t w = j * c.g.stride_w + t % c.kw * c.g.dilation_w - c.g.pad_w;
          if (h < 0 || h >= c.h || w < 0 || w >= c.w) continue;
          visit(((n * c.h + h) * c.w + w) * c.c, ((n * s.oh + i) * s.ow + j) * c.k, t);
        }
      }
    }
  }
}

Buffers reference(const Case& c) {
  const Sizes s(c);
  Buffers b{numbers(s.x, 1),
            numbers(s.w, 2),
            numbers(c.k, 3),
            std::vector<double>(static_cast<size_t>(s.y)),
            numbers(s.y, 4),
            std::vector<double>(static_cast<size_t>(s.x)),
            std::vector<double>(static_cast<size_t>(s.w))};
  for (size_t i = 0; i < b.y.size(); ++i) b.y[i] = b.bias[i % static_cast<size_t>(c.k)];
  each_product(c, s, [&](int64_t x, int64_t y, int64_t t) {
    for (int64_t k = 0; k < c.k; ++k) {
      for (int64_t q = 0; q < s.cg; ++q) {
        const auto xi = static_cast<size_t>(x + k / s.kg * s.cg + q);
        const auto wi = static_cast<size_t>((k * c.kh * c.kw + t) * s.cg + q);
        const auto yi = static_cast<size_t>(y + k);
        b.y[yi] += b.x[xi] * b.w[wi];
        b.dx[xi] += b.dy[yi] * b.w[wi];
        b.dw[wi] += b.dy[yi] * b.x[xi];
      }
    }
  });
  return b;
}

Tensor tensor(const std::vector<double>& values, const Shape& shape, DType dtype) {
  return Tensor::from(values, shape).to(dtype);
}

struct Results {
  Tensor y, dx, dw;
};

// Outputs begin as NaN, inside a larger tensor whose other rows must stay untouched.
Tensor guarded(const Shape& shape, DType dtype) {
  const int64_t row = shape.numel() / std::max<int64_t>(shape[0], 1);
  const Tensor whole = Tensor::full(Shape{shape[0] + 2, row}, std::nan(""), dtype);
  return whole;
}
Tensor inside(const Tensor& whole, const Shape& shape) {
  return whole.rows(1, whole.dim(0) - 1).view(shape);
}
template <class T>
bool intact(const Tensor& whole) {
  const int64_t row = whole.numel() / whole.dim(0);
  const T* p = whole.ptr<T>();
  for (int64_t i = 0; i < row; ++i) {
    if (!std::isnan(p[i]) || !std::isnan(p[whole.numel() - 1 - i])) return false;
  }
  return true;
}
bool intact(const Tensor& whole) {
  return whole.dtype() == DType::F32 ? intact<float>(whole) : intact<double>(whole);
}

Results run(const Case& c, const Buffers& b, DType dtype) {
  const Sizes s(c);
  const Shape xs{c.n, c.h, c.w, c.c}, ws{c.k, c.kh, c.kw, s.cg}, ys{c.n, s.oh, s.ow, c.k};
  const Tensor x = tensor(b.x, xs, dtype), w = tensor(b.w, ws, dtype), dy = tensor(b.dy, ys, dtype);
  const Tensor y_whole = guarded(ys, dtype), dx_whole = guarded(xs, dtype), dw_whole = guarded(ws, dtype);
  Results r{inside(y_whole, ys), inside(dx_whole, xs), inside(dw_whole, ws)};
  kernels::conv2d_forward(r.y, x, w, tensor(b.bias, Shape{c.k}, dtype), c.g);
  kernels::conv2d_backward_data(r.dx, dy, w, c.g);
  kernels::conv2d_backward_weight(r.dw, dy, x, c.g);
  CHECK(intact(y_whole));
  CHECK(intact(dx_whole));
  CHECK(intact(dw_whole));
  return r;
}

double nmse(const Tensor& found, const std::vector<double>& expected) {
  const Tensor f64 = found.to(DType::F64);
  const double* p = f64.ptr<double>();
  double error = 0, total = 1e-300;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += (p[i] - expected[i]) * (p[i] - expected[i]);
    total += expected[i] * expected[i];
  }
  return error / total;
}

}  // namespace

TEST_SUITE_BEGIN("conv");

TEST_CASE("convolution equals the plain loop on every instruction set") {
  const MathModeScope direct({.winograd = false});
  for (const Case& c : cases()) {
    const Buffers b = reference(c);
    for (const cpu::Isa isa : tests::isas()) {
      const cpu::ForceIsa forced(isa);
      for (const DType dtype : {DType::F32, DType::F64}) {
        CAPTURE(c.name);
        CAPTURE(to_string(isa));
        CAPTURE(to_string(dtype));
        const double bound = dtype == DType::F32 ? 1e-12 : 1e-28;
        const Results r = run(c, b, dtype);
        CHECK(nmse(r.y, b.y) <= bound);
        CHECK(nmse(r.dx, b.dx) <= bound);
        CHECK(nmse(r.dw, b.dw) <= bound);
      }
    }
  }
}

TEST_CASE("convolution does not depend on the number of threads, bit for bit") {
  const MathModeScope direct({.winograd = false});
  const int before = num_threads();
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    const Buffers b = reference(c);
    set_num_threads(1);
    const Results one = run(c, b, DType::F32);
    for (const int threads : {2, 3}) {
      set_num_threads(threads);
      const Results many = run(c, b, DType::F32);
      CHECK(same_bits(one.y, many.y));
      CHECK(same_bits(one.dx, many.dx));
      CHECK(same_bits(one.dw, many.dw));
    }
  }
  set_num_threads(before);
}

TEST_CASE("convolution without bias starts from zero") {
  const Case& c = cases()[0];
  Buffers b = reference(c);
  const Sizes s(c);
  const Shape xs{c.n, c.h, c.w, c.c}, ws{c.k, c.kh, c.kw, s.cg};
  Tensor y = Tensor::empty(Shape{c.n, s.oh, s.ow, c.k}, DType::F64);
  kernels::conv2d_forward(y, tensor(b.x, xs, DType::F64), tensor(b.w, ws, DType::F64), Tensor(), c.g);
  for (size_t i = 0; i < b.y.size(); ++i) b.y[i] -= b.bias[i % static_cast<size_t>(c.k)];
  CHECK(nmse(y, b.y) <= 1e-28);
}

TEST_SUITE_END();

}  // namespace lathe
