// Winograd convolutions against direct ones: all passes, and the forms fused with their neighbours.

#include "core/cpu/winograd.h"

#include <string>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include "core/cpu/isa.h"
#include "core/kernels/conv.h"
#include "core/math_mode.h"
#include "core/parallel.h"
#include "core/philox.h"
#include "tests/support/kernels.h"

namespace lathe {
namespace {

struct Case {
  std::string name;
  int64_t n, h, w, c, k;
  int64_t pad = 1;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> table = {
      {"one window", 1, 8, 8, 16, 16},
      {"whole tiles, several windows", 40, 16, 16, 16, 16},
      {"several blocks of a window", 3, 32, 32, 16, 16},
      {"odd sizes", 3, 14, 7, 16, 32},
      {"one ragged tile more", 2, 5, 9, 32, 16},
      {"narrow", 9, 4, 4, 64, 48},
      {"three vectors of outputs", 2, 9, 10, 16, 48},
      {"slices of outputs", 2, 12, 8, 32, 112},
      {"wide", 1, 6, 300, 16, 16},
      {"wide, many channels", 1, 5, 131, 96, 80},
      {"tall", 1, 301, 5, 16, 32},
      {"valid", 2, 11, 10, 16, 16, 0},
      {"padded by 2", 2, 8, 7, 32, 16, 2},
      {"large gradient", 6, 8, 8, 144, 160},
      {"weights beyond a cache", 3, 5, 4, 256, 288},
  };
  return table;
}

Tensor numbers(const Shape& shape, uint32_t stream) {
  Tensor t = Tensor::empty(shape, DType::F64);
  double* p = t.mut<double>();
  const Philox philox{7, stream, 0};
  for (int64_t i = 0; i < t.numel(); ++i) {
    p[i] = static_cast<double>(philox.below(static_cast<uint64_t>(i), 256)) / 128 - 1;
  }
  return t;
}

struct Inputs {
  Tensor x, w, bias, dy;
  Conv2dGeometry g;

  Inputs(const Case& c, DType dtype)
      : x(numbers({c.n, c.h, c.w, c.c}, 1).to(dtype)),
        w(numbers({c.k, 3, 3, c.c}, 2).to(dtype)),
        bias(numbers({c.k}, 3).to(dtype)),
        dy(numbers({c.n, c.h + 2 * c.pad - 2, c.w + 2 * c.pad - 2, c.k}, 4).to(dtype)),
        g{.pad_h = c.pad, .pad_w = c.pad} {}
};

struct Results {
  Tensor y, dx, dw;
};

Results run(const Inputs& in, bool winograd) {
  const MathModeScope mode({.winograd = winograd});
  Results r{in.dy.empty_like(), in.x.empty_like(), in.w.empty_like()};
  kernels::conv2d_forward(r.y, in.x, in.w, in.bias, in.g);
  kernels::conv2d_backward_data(r.dx, in.dy, in.w, in.g);
  kernels::conv2d_backward_weight(r.dw, in.dy, in.x, in.g);
  return r;
}

using tests::nmse;

/// What a chain conv - norm - relu - conv gives a convolution beside x, w and dy, all in f64: a map of x, one
/// of dy, a residual's gradient and a mask of dx.
struct Neighbours {
  Tensor mean, scale, shift;               // of x, and of the mask
  Tensor z, relu_y, z_mean, a, b, c;       // of dy
  Tensor residual_dy, residual_y, mask_x;  // of dx

  explicit Neighbours(const Case& k)
      : mean(numbers({k.c}, 11)),
        scale(numbers({k.c}, 12)),
        shift(numbers({k.c}, 13)),
        z(numbers({k.n, k.h + 2 * k.pad - 2, k.w + 2 * k.pad - 2, k.k}, 14)),
        relu_y(numbers(z.shape(), 15)),
        z_mean(numbers({k.k}, 16)),
        a(numbers({k.k}, 17)),
        b(numbers({k.k}, 18)),
        c(numbers({k.k}, 19)),
        residual_dy(numbers({k.n, k.h, k.w, k.c}, 20)),
        residual_y(numbers(residual_dy.shape(), 21)),
        mask_x(numbers(residual_dy.shape(), 22)) {}
};

/// Which of them take part.
struct Parts {
  bool relu, dy_masked;
  int residual;  // 0 none, 1 plain, 2 masked
  bool mask;
};

struct FusedResults {
  Tensor y, dx, dw;
  std::vector<double> moments, sums;
};

/// out = fn(flat index, channel).
template <class Fn>
Tensor mapped(const Shape& shape, Fn fn) {
  Tensor out = Tensor::empty(shape, DType::F64);
  for (int64_t i = 0; i < out.numel(); ++i) out.mut<double>()[i] = fn(i, i % shape[-1]);
  return out;
}

/// The same, one step after the other, by direct convolutions in f64.
FusedResults composed(const Case& k, const Inputs& in, const Neighbours& s, const Parts& parts) {
  const auto at = [](const Tensor& t, int64_t i) { return t.ptr<double>()[i]; };
  Inputs plain(k, DType::F64);
  plain.x = mapped(in.x.shape(), [&](int64_t i, int64_t j) {
    const double v = (at(in.x, i) - at(s.mean, j)) * at(s.scale, j) + at(s.shift, j);
    return parts.relu && v < 0 ? 0.0 : v;
  });
  plain.dy = mapped(in.dy.shape(), [&](int64_t i, int64_t j) {
    const double g = parts.dy_masked && at(s.relu_y, i) <= 0 ? 0.0 : at(in.dy, i);
    return at(s.a, j) * g + at(s.b, j) * (at(s.z, i) - at(s.z_mean, j)) + at(s.c, j);
  });
  const Results r = run(plain, false);
  FusedResults f{r.y, {}, r.dw, {}, {}};
  f.moments.assign(static_cast<size_t>(2 * k.k), 0);
  const auto rows = static_cast<double>(r.y.numel() / k.k);
  for (int64_t i = 0; i < r.y.numel(); ++i) f.moments[static_cast<size_t>(i % k.k)] += at(r.y, i) / rows;
  for (int64_t i = 0; i < r.y.numel(); ++i) {
    const double d = at(r.y, i) - f.moments[static_cast<size_t>(i % k.k)];
    f.moments[static_cast<size_t>(k.k + i % k.k)] += d * d;
  }
  f.dx = mapped(r.dx.shape(), [&](int64_t i, int64_t j) {
    double v = at(r.dx, i);
    if (parts.residual == 1 || (parts.residual == 2 && at(s.residual_y, i) > 0)) v += at(s.residual_dy, i);
    const bool kept = (at(s.mask_x, i) - at(s.mean, j)) * at(s.scale, j) + at(s.shift, j) > 0;
    return parts.mask && !kept ? 0.0 : v;
  });
  if (!parts.mask) return f;
  f.sums.assign(static_cast<size_t>(2 * k.c), 0);
  for (int64_t i = 0; i < f.dx.numel(); ++i) {
    const int64_t j = i % k.c;
    f.sums[static_cast<size_t>(j)] += at(f.dx, i);
    f.sums[static_cast<size_t>(k.c + j)] += at(f.dx, i) * (at(s.mask_x, i) - at(s.mean, j));
  }
  return f;
}

template <class T>
FusedResults fused(const Inputs& in, const Neighbours& n, const Parts& parts) {
  constexpr DType dtype = std::is_same_v<T, float> ? DType::F32 : DType::F64;
  std::vector<Tensor> kept;  // what the operands point to
  const auto ptr = [&](const Tensor& t) {
    kept.push_back(t.to(dtype));
    return static_cast<const T*>(kept.back().ptr<T>());
  };
  cpu::ConvOperand<T> x, dy;
  x.map = cpu::ConvOperand<T>::Map::Affine;
  x.affine = {nullptr, ptr(in.x), nullptr, ptr(n.mean), ptr(n.scale), ptr(n.shift), parts.relu};
  dy.map = cpu::ConvOperand<T>::Map::Gradient;
  dy.gradient.dy = ptr(in.dy);
  dy.gradient.x = ptr(n.z);
  if (parts.dy_masked) dy.gradient.y = ptr(n.relu_y);
  dy.gradient.mean = ptr(n.z_mean);
  dy.gradient.a = ptr(n.a);
  dy.gradient.b = ptr(n.b);
  dy.gradient.c = ptr(n.c);
  FusedResults f{Tensor::empty(in.dy.shape(), dtype),
                 Tensor::empty(in.x.shape(), dtype),
                 Tensor::empty(in.w.shape(), dtype),
                 {},
                 {}};
  const cpu::ConvShape shape(in.x, in.w, in.dy, in.g);
  cpu::winograd_forward<T>(shape, f.y.mut<T>(), x, ptr(in.w), ptr(in.bias), &f.moments);
  cpu::ConvInputGradient<T> gradient;
  gradient.dx = f.dx.mut<T>();
  if (parts.residual > 0) gradient.residual_dy = ptr(n.residual_dy);
  if (parts.residual == 2) gradient.residual_y = ptr(n.residual_y);
  if (parts.mask)
    gradient.mask = {nullptr, ptr(n.mask_x), nullptr, ptr(n.mean), ptr(n.scale), ptr(n.shift), true};
  cpu::winograd_backward<T>(shape, f.dw.mut<T>(), gradient, dy, x, ptr(in.w));
  f.sums = gradient.sums;
  return f;
}

const std::vector<Parts>& all_parts() {
  static const std::vector<Parts> table = {
      {true, true, 2, true},  {true, false, 0, true},   {false, true, 1, true},
      {true, true, 1, false}, {false, false, 2, false}, {true, true, 0, false},
  };
  return table;
}

double nmse(const std::vector<double>& found, const std::vector<double>& expected) {
  CHECK(found.size() == expected.size());
  if (expected.empty()) return 0;
  const Shape shape{static_cast<int64_t>(expected.size())};
  return nmse(Tensor::from(found, shape), Tensor::from(expected, shape));
}

}  // namespace

TEST_SUITE_BEGIN("winograd");

TEST_CASE("every case is one that Winograd serves, and other forms are not") {
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    const Inputs in(c, DType::F32);
    CHECK(cpu::winograd_serves(cpu::ConvShape(in.x, in.w, in.dy, in.g)));
  }
  const auto serves = [](const Shape& x, const Shape& w, const Conv2dGeometry& g) {
    const Shape y{x[0], conv_out(x[1], w[1], g.stride_h, g.pad_h, g.dilation_h),
                  conv_out(x[2], w[2], g.stride_w, g.pad_w, g.dilation_w), w[0]};
    return cpu::winograd_serves(cpu::ConvShape(Tensor::empty(x), Tensor::empty(w), Tensor::empty(y), g));
  };
  CHECK(serves({2, 8, 8, 16}, {16, 3, 3, 16}, {.pad_h = 1, .pad_w = 1}));
  CHECK_FALSE(serves({2, 8, 8, 16}, {16, 3, 3, 16}, {.stride_h = 2, .pad_h = 1, .pad_w = 1}));
  CHECK_FALSE(serves({2, 8, 8, 16}, {16, 3, 3, 16}, {.pad_h = 2, .pad_w = 2, .dilation_h = 2}));
  CHECK_FALSE(serves({2, 8, 8, 32}, {32, 3, 3, 16}, {.pad_h = 1, .pad_w = 1, .groups = 2}));
  CHECK_FALSE(serves({2, 8, 8, 16}, {16, 1, 1, 16}, {}));
  CHECK_FALSE(serves({2, 8, 8, 3}, {16, 3, 3, 3}, {.pad_h = 1, .pad_w = 1}));
  CHECK_FALSE(serves({2, 8, 8, 16}, {20, 3, 3, 16}, {.pad_h = 1, .pad_w = 1}));
  CHECK_FALSE(serves({9, 5, 5, 16}, {16, 3, 3, 16}, {.pad_h = 1, .pad_w = 1}));
  CHECK_FALSE(serves({0, 8, 8, 16}, {16, 3, 3, 16}, {.pad_h = 1, .pad_w = 1}));
}

TEST_CASE("Winograd equals the direct convolution on every instruction set") {
  for (const Case& c : cases()) {
    const Results expected = run(Inputs(c, DType::F64), false);
    for (const cpu::Isa isa : tests::isas()) {
      const cpu::ForceIsa forced(isa);
      for (const DType dtype : {DType::F32, DType::F64}) {
        CAPTURE(c.name);
        CAPTURE(to_string(isa));
        CAPTURE(to_string(dtype));
        const double bound = dtype == DType::F32 ? 1e-11 : 1e-28;
        const Results r = run(Inputs(c, dtype), true);
        CHECK(nmse(r.y, expected.y) <= bound);
        CHECK(nmse(r.dx, expected.dx) <= bound);
        CHECK(nmse(r.dw, expected.dw) <= bound);
      }
    }
  }
}

TEST_CASE("Winograd does not depend on the number of threads, bit for bit") {
  const int before = num_threads();
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    const Inputs in(c, DType::F32);
    set_num_threads(1);
    const Results one = run(in, true);
    for (const int threads : {2, 3}) {
      set_num_threads(threads);
      const Results many = run(in, true);
      CHECK(same_bits(one.y, many.y));
      CHECK(same_bits(one.dx, many.dx));
      CHECK(same_bits(one.dw, many.dw));
    }
  }
  set_num_threads(before);
}

TEST_CASE("a fused Winograd convolution is the composition of its parts") {
  for (const Case& c : cases()) {
    const Inputs in(c, DType::F64);
    const Neighbours neighbours(c);
    for (const Parts& parts : all_parts()) {
      const FusedResults expected = composed(c, in, neighbours, parts);
      for (const cpu::Isa isa : tests::isas()) {
        const cpu::ForceIsa forced(isa);
        for (const bool single : {true, false}) {
          CAPTURE(c.name);
          CAPTURE(to_string(isa));
          CAPTURE(single);
          CAPTURE(&parts - all_parts().data());
          const double bound = single ? 1e-11 : 1e-27;
          const FusedResults f =
              single ? fused<float>(in, neighbours, parts) : fused<double>(in, neighbours, parts);
          CHECK(nmse(f.y, expected.y) <= bound);
          CHECK(nmse(f.dx, expected.dx) <= bound);
          CHECK(nmse(f.dw, expected.dw) <= bound);
          CHECK(nmse(f.moments, expected.moments) <= bound);
          CHECK(nmse(f.sums, expected.sums) <= bound);
        }
      }
    }
  }
}

TEST_CASE("a fused Winograd convolution does not depend on the number of threads, bit for bit") {
  const int before = num_threads();
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    const Inputs in(c, DType::F64);
    const Neighbours neighbours(c);
    set_num_threads(1);
    const FusedResults one = fused<float>(in, neighbours, all_parts()[0]);
    for (const int threads : {2, 3}) {
      set_num_threads(threads);
      const FusedResults many = fused<float>(in, neighbours, all_parts()[0]);
      CHECK(same_bits(one.y, many.y));
      CHECK(same_bits(one.dx, many.dx));
      CHECK(same_bits(one.dw, many.dw));
      CHECK(one.moments == many.moments);
      CHECK(one.sums == many.sums);
    }
  }
  set_num_threads(before);
}

TEST_CASE("moments of a large mean lose no digits") {
  const Case c{"constant and small noise", 8, 16, 16, 16, 16};
  const Inputs in(c, DType::F32);
  Inputs shifted = in;
  shifted.w = Tensor::zeros(in.w.shape(), DType::F32);
  for (int64_t k = 0; k < 16; ++k) shifted.w.mut<float>()[(k * 9 + 4) * 16 + k] = 0.0078125f;
  shifted.bias = Tensor::full({16}, 1000.0, DType::F32);
  Tensor y = in.dy.empty_like();
  std::vector<double> moments;
  cpu::winograd_forward(cpu::ConvShape(in.x, in.w, in.dy, in.g), y.mut<float>(),
                        cpu::as_is(shifted.x.ptr<float>()), shifted.w.ptr<float>(), shifted.bias.ptr<float>(),
                        &moments);
  for (size_t k = 0; k < 16; ++k) {
    double mean = 0, spread = 0;
    const int64_t rows = y.numel() / 16;
    const auto value = [&](int64_t i) {
      return static_cast<double>(y.ptr<float>()[i * 16 + static_cast<int64_t>(k)]);
    };
    for (int64_t i = 0; i < rows; ++i) mean += value(i) / static_cast<double>(rows);
    for (int64_t i = 0; i < rows; ++i) spread += (value(i) - mean) * (value(i) - mean);
    CHECK(moments[k] == doctest::Approx(mean).epsilon(1e-9));
    CHECK(moments[16 + k] == doctest::Approx(spread).epsilon(1e-4));
  }
}

TEST_SUITE_END();

}  // namespace lathe
