// Winograd convolutions against direct ones: all passes, and the forms fused with their neighbours.

#include "core/cpu/winograd.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "core/cpu/isa.h"
#include "core/kernels/conv.h"
#include "core/math_mode.h"
#include "core/parallel.h"
#include "core/philox.h"

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

double nmse(const Tensor& found, const Tensor& expected) {
  const Tensor f = found.to(DType::F64), e = expected.to(DType::F64);
  double error = 0, total = 1e-300;
  for (int64_t i = 0; i < e.numel(); ++i) {
    const double d = f.ptr<double>()[i] - e.ptr<double>()[i];
    error += d * d;
    total += e.ptr<double>()[i] * e.ptr<double>()[i];
  }
  return error / total;
}

std::vector<cpu::Isa> isas() {
  std::vector<cpu::Isa> found;
  for (const cpu::Isa isa : {cpu::Isa::Portable, cpu::Isa::V3, cpu::Isa::V4}) {
    if (isa <= cpu::widest_isa()) found.push_back(isa);
  }
  return found;
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
}

TEST_CASE("Winograd equals the direct convolution on every instruction set") {
  for (const Case& c : cases()) {
    const Results expected = run(Inputs(c, DType::F64), false);
    for (const cpu::Isa isa : isas()) {
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

TEST_SUITE_END();

}  // namespace lathe
