// Convolutions and matrix products of the CUDA twin: the shapes that its choice of kernels depends on, in
// every element type.

#include <array>

#include <doctest/doctest.h>

#include "core/kernels/conv.h"
#include "core/kernels/matmul.h"
#include "core/math_mode.h"
#include "core/philox.h"
#include "tests/cuda/device.h"
#include "tests/laws/evaluate.h"

namespace lathe {
namespace {

using namespace laws;

/// Values that bf16 holds exactly, if coarse, so that every type gets the same ones.
Tensor values(const char* name, const Shape& shape, DType dtype, bool coarse = true) {
  Tensor t = Tensor::empty(shape, DType::F32);
  const Philox philox{3, stream_id(name), 0};
  float* p = t.mut<float>();
  for (int64_t i = 0; i < t.numel(); ++i) {
    const float value = philox.uniform(static_cast<uint64_t>(i)) - 0.5f;
    p[i] = coarse ? static_cast<float>(bf16(value)) : value;
  }
  return t.to(dtype);
}

/// Of squared errors: sums in another order, and bf16's one rounding of the result, 2^-8 at most.
double bound_of(DType dtype) {
  if (dtype == DType::F64) return 1e-26;
  return dtype == DType::F32 ? 1e-11 : 1.0 / 65536;
}
DType host_type(DType dtype) {
  return dtype == DType::BF16 ? DType::F32 : dtype;
}
constexpr std::array kTypes{DType::F64, DType::F32, DType::BF16};

/// kernel(output, device) fills the output on the host in f32 or f64, and twice on the device between guard
/// bands.
template <class Kernel>
void check_on_device(const std::string& what, const Shape& shape, DType dtype, const Kernel& kernel) {
  CAPTURE(what);
  CAPTURE(to_string(dtype));
  Tensor expected = Tensor::empty(shape, host_type(dtype));
  kernel(expected, Device::cpu(), host_type(dtype));
  const tests::GuardedDevice guards;
  std::array<Tensor, 2> found;
  for (Tensor& y : found) {
    Tensor on_device = Tensor::empty(shape, dtype, tests::cuda_device());
    kernel(on_device, tests::cuda_device(), dtype);
    y = on_device.to(Device::cpu());
  }
  CHECK(guards.violations() == 0);
  CHECK(same_bits(found[0], found[1]));
  CHECK(nmse(found[0], expected) <= bound_of(dtype));
}

struct ConvCase {
  std::string name;
  Shape x, w;
  Conv2dGeometry g;
};

const std::vector<ConvCase>& window_cases() {
  static const std::vector<ConvCase> cases = {
      {"a product", {2, 5, 7, 8}, {6, 1, 1, 8}, {}},
      {"1x1 with padding", {2, 5, 7, 8}, {6, 1, 1, 8}, {.pad_h = 1, .pad_w = 1}},
      {"3x3", {3, 9, 8, 8}, {16, 3, 3, 8}, {.pad_h = 1, .pad_w = 1}},
      {"3x3 stride 2, three channels", {2, 9, 9, 3}, {8, 3, 3, 3}, {2, 2, 1, 1, 1, 1, 1}},
      {"dilated", {2, 9, 10, 5}, {7, 3, 3, 5}, {1, 1, 2, 3, 2, 3, 1}},
      {"dilated groups", {2, 9, 10, 6}, {4, 3, 2, 3}, {2, 1, 2, 1, 2, 1, 2}},
      {"groups", {2, 6, 6, 8}, {12, 3, 3, 2}, {1, 1, 1, 1, 1, 1, 4}},
      {"depthwise 3x3, two tiles", {2, 6, 9, 264}, {264, 3, 3, 1}, {1, 1, 1, 1, 1, 1, 264}},
      {"depthwise 3x3 stride 2", {3, 9, 11, 12}, {12, 3, 3, 1}, {2, 2, 1, 1, 1, 1, 12}},
      {"depthwise 5x5", {2, 7, 10, 4}, {4, 5, 5, 1}, {1, 1, 2, 2, 1, 1, 4}},
      {"depthwise 5x5 stride 2", {2, 8, 9, 8}, {8, 5, 5, 1}, {2, 2, 2, 2, 1, 1, 8}},
      {"depthwise stride 2, 1", {2, 8, 9, 8}, {8, 3, 3, 1}, {2, 1, 0, 2, 1, 1, 8}},
      {"depthwise 7x4 dilated", {2, 20, 19, 8}, {8, 7, 4, 1}, {1, 1, 3, 3, 2, 3, 8}},
      {"depthwise stride 3 dilated", {2, 12, 13, 8}, {8, 3, 3, 1}, {3, 3, 2, 2, 2, 2, 8}},
      {"depthwise odd channels", {2, 6, 7, 33}, {33, 3, 3, 1}, {1, 1, 1, 1, 1, 1, 33}},
      {"depthwise multiplier 3", {2, 6, 7, 4}, {12, 3, 3, 1}, {1, 1, 1, 1, 1, 1, 4}},
      {"depthwise with more padding than taps", {1, 3, 4, 4}, {4, 3, 3, 1}, {1, 1, 4, 5, 1, 1, 4}},
      {"depthwise with more taps than shared memory",
       {1, 1, 6210, 2},
       {2, 1, 6200, 1},
       {1, 1, 0, 0, 1, 1, 2}},
      {"many lines", {7, 40, 3, 4}, {4, 3, 3, 1}, {1, 1, 1, 1, 1, 1, 4}},
  };
  return cases;
}

struct ProductCase {
  std::string name;
  Shape y, a, b;
  MatmulFlags flags;
};

const std::vector<ProductCase>& product_shapes() {
  static const std::vector<ProductCase> cases = {
      {"plain", {5, 3}, {5, 7}, {7, 3}, {}},
      {"stacked rows of one b", {4, 5, 3}, {4, 5, 7}, {7, 3}, {}},
      {"stacked terms of one y", {5, 3}, {4, 7, 5}, {4, 7, 3}, {.transpose_a = true}},
      {"one a", {4, 5, 3}, {5, 7}, {4, 7, 3}, {}},
      {"summed, not stacked", {5, 3}, {4, 5, 7}, {4, 7, 3}, {}},
      {"summed over the inner axis", {6, 1, 5, 3}, {6, 4, 5, 7}, {4, 7, 3}, {}},
      {"summed over the outer axis", {4, 5, 3}, {6, 4, 5, 7}, {6, 1, 3, 7}, {.transpose_b = true}},
      {"crossed batches", {2, 6, 5, 3}, {2, 1, 7, 5}, {6, 3, 7}, {true, true}},
      {"no terms", {5, 3}, {5, 0}, {0, 3}, {}},
  };
  return cases;
}

}  // namespace

TEST_SUITE_BEGIN("gpu ops");

TEST_CASE("convolutions of every kind equal the CPU's in f64, f32 and bf16") {
  if (!tests::cuda_ready()) return;
  for (const ConvCase& c : window_cases()) {
    CAPTURE(c.name);
    const int64_t oh = conv_out(c.x[1], c.w[1], c.g.stride_h, c.g.pad_h, c.g.dilation_h);
    const int64_t ow = conv_out(c.x[2], c.w[2], c.g.stride_w, c.g.pad_w, c.g.dilation_w);
    const Shape y{c.x[0], oh, ow, c.w[0]};
    for (const DType dtype : kTypes) {
      for (const bool with_bias : {false, true}) {
        check_on_device("y", y, dtype, [&](Tensor& out, Device device, DType type) {
          const Tensor bias = with_bias ? values("bias", {c.w[0]}, type).to(device) : Tensor();
          kernels::conv2d_forward(out, values("x", c.x, type).to(device), values("w", c.w, type).to(device),
                                  bias, c.g);
        });
      }
      check_on_device("dx", c.x, dtype, [&](Tensor& out, Device device, DType type) {
        kernels::conv2d_backward_data(out, values("dy", y, type).to(device),
                                      values("w", c.w, type).to(device), c.g);
      });
      check_on_device("dw", c.w, dtype, [&](Tensor& out, Device device, DType type) {
        kernels::conv2d_backward_weight(out, values("dy", y, type).to(device),
                                        values("x", c.x, type).to(device), c.g);
      });
    }
  }
}

TEST_CASE("products of every kind equal the CPU's in f64, f32 and bf16") {
  if (!tests::cuda_ready()) return;
  for (const ProductCase& c : product_shapes()) {
    CAPTURE(c.name);
    for (const DType dtype : kTypes) {
      check_on_device("y", c.y, dtype, [&](Tensor& out, Device device, DType type) {
        kernels::matmul(out, values("a", c.a, type).to(device), values("b", c.b, type).to(device), Tensor(),
                        c.flags);
      });
      if (c.b.rank() > 2 || c.a.numel() == 0) continue;  // the CPU has a bias for one right operand
      check_on_device("y with bias", c.y, dtype, [&](Tensor& out, Device device, DType type) {
        kernels::matmul(out, values("a", c.a, type).to(device), values("b", c.b, type).to(device),
                        values("bias", {c.y[-1]}, type).to(device), c.flags);
      });
    }
  }
}

TEST_CASE("operands are rounded to tf32 inside a scope that allows it only") {
  if (!tests::cuda_ready()) return;
  const auto fine = [](const char* name, const Shape& shape) {
    return values(name, shape, DType::F32, false).to(tests::cuda_device());
  };
  const Tensor x = fine("x", {2, 6, 6, 8}), w = fine("w", {8, 3, 3, 8}), a = fine("a", {64, 64});
  const auto run = [&](Tensor& y, Tensor& product) {
    y = Tensor::empty({2, 6, 6, 8}, DType::F32, tests::cuda_device());
    product = a.empty_like();
    kernels::conv2d_forward(y, x, w, Tensor(), {.pad_h = 1, .pad_w = 1});
    kernels::matmul(product, a, a, Tensor(), {});
    y = y.to(Device::cpu());
    product = product.to(Device::cpu());
  };
  std::array<Tensor, 3> y, product;
  run(y[0], product[0]);
  {
    const MathModeScope scope({.tf32 = true});
    run(y[1], product[1]);
  }
  run(y[2], product[2]);
  CHECK(same_bits(y[0], y[2]));
  CHECK(same_bits(product[0], product[2]));
  // Half a unit of 2^-10 in either operand, at most.
  CHECK(nmse(y[1], y[0]) <= 1.0 / (1 << 20));
  CHECK(nmse(product[1], product[0]) <= 1.0 / (1 << 20));
}

TEST_CASE("products refuse integers by name") {
  if (!tests::cuda_ready()) return;
  const Tensor a = Tensor::zeros({2, 2}, DType::I32, tests::cuda_device());
  Tensor y = a.zeros_like();
  CHECK_THROWS_AS(kernels::matmul(y, a, a, Tensor(), {}), DTypeError);
}

TEST_SUITE_END();

}  // namespace lathe
