// Kernels of the CUDA twin that move, sum, pool and draw: in bf16, on shapes that choose each of their ways,
// and where the device answers other than the host.

#include <cmath>
#include <numeric>

#include <doctest/doctest.h>

#include "core/kernels/embedding.h"
#include "core/kernels/matmul.h"
#include "core/kernels/random.h"
#include "core/kernels/reduce.h"
#include "core/kernels/shape.h"
#include "core/kernels/softmax.h"
#include "tests/cuda/device.h"
#include "tests/laws/evaluate.h"

namespace lathe {
namespace {

using laws::nmse;
using tests::cuda_device;
using tests::cuda_ready;

const Philox kStream{5, stream_id("stream kernels"), 2};

Tensor normal(const Shape& shape, DType dtype = DType::F32) {
  Tensor x = Tensor::empty(shape, DType::F64);
  kernels::fill_normal(x, 1, kStream);
  return x.to(dtype);
}

Tensor on_device(const Tensor& x) {
  return x.to(cuda_device());
}

/// What kernel(y) writes into a tensor like `y` on the host and on the device.
struct Both {
  Tensor host, device;

  template <class Fn>
  Both(const Shape& shape, DType dtype, const Fn& fn) {
    host = Tensor::full(shape, 3, dtype);
    device = Tensor::full(shape, 3, dtype, cuda_device());
    fn(host, [](const Tensor& x) { return x; });
    fn(device, on_device);
    device = device.to(Device::cpu());
  }
  bool same() const { return same_bits(host, device); }
  double error() const { return nmse(device, host); }
};

// --- bf16: the device's bf16 against the host's f32 of the same numbers

std::vector<Var> rounded_inputs(const OpCase& op_case, bool device) {
  std::vector<Var> inputs;
  for (const Var& input : make_inputs(op_case, DType::F32)) {
    const Tensor x = input.data().to(DType::BF16);
    inputs.emplace_back(device ? on_device(x) : x.to(DType::F32), input.requires_grad());
  }
  return inputs;
}

std::vector<Tensor> results(const OpCase& op_case, bool device) {
  const std::vector<Var> inputs = rounded_inputs(op_case, device);
  const Var y = op_case.apply(inputs);
  const Tensor dy = laws::output_gradient(y.shape(), DType::F32).to(DType::BF16);
  backward(y, device ? on_device(dy) : dy.to(DType::F32));
  std::vector<Tensor> all{y.data()};
  for (const Var& input : inputs) all.push_back(input.grad());
  for (Tensor& one : all) {
    if (one.defined()) one = one.to(Device::cpu()).to(DType::F32);
  }
  return all;
}

bool takes_bf16(const std::string& name) {
  static const char* const kFamilies[] = {"glu",     "reshape",     "permute",  "concat",   "slice",
                                          "pad",     "option_a",    "sum",      "mean",     "softmax",
                                          "dropout", "drop_path",   "max_pool", "avg_pool", "adaptive",
                                          "global",  "log_softmax", "embedding"};
  // Its gradient is a difference of nearly equal numbers, of which bf16 keeps too little.
  if (name.find("wide range") != std::string::npos) return false;
  return std::any_of(std::begin(kFamilies), std::end(kFamilies),
                     [&](const char* family) { return name.starts_with(family); });
}

}  // namespace

TEST_SUITE_BEGIN("gpu ops");

TEST_CASE("bf16 differs from f32 by roundings") {
  if (!cuda_ready()) return;
  int cases = 0;
  for (const OpCase& op_case : laws::every_case()) {
    if (!takes_bf16(op_case.name)) continue;
    ++cases;
    const std::vector<Tensor> found = results(op_case, true), expected = results(op_case, false);
    for (size_t i = 0; i < found.size(); ++i) {
      if (!found[i].defined()) continue;
      CHECK_MESSAGE(nmse(found[i], expected[i]) <= 3e-5, op_case.name, ", tensor ", i);
    }
  }
  CHECK(cases >= 60);
}

TEST_CASE("permute moves every element type, in tiles, rows and thin planes") {
  if (!cuda_ready()) return;
  const std::pair<Shape, std::vector<int>> moves[] = {{{64, 72}, {1, 0}},
                                                      {{33, 130}, {1, 0}},
                                                      {{3, 40, 5, 36}, {0, 3, 2, 1}},
                                                      {{2, 3, 50, 16}, {2, 1, 0, 3}},
                                                      {{5, 3, 400}, {0, 2, 1}},
                                                      {{2, 132, 12}, {0, 2, 1}},
                                                      {{7}, {0}},
                                                      {{1, 1}, {1, 0}}};
  for (const DType dtype : {DType::U8, DType::BF16, DType::I32, DType::F64, DType::I64}) {
    for (const auto& [shape, axes] : moves) {
      const Tensor x = [&] {
        Tensor numbers = Tensor::empty(shape, DType::F64);
        kernels::fill_uniform(numbers, 0, 256, kStream);
        return numbers.to(dtype);
      }();
      std::vector<int64_t> dims;
      for (const int axis : axes) dims.push_back(shape[axis]);
      const Both y(Shape(std::span<const int64_t>(dims)), dtype,
                   [&](Tensor& out, const auto& place) { kernels::permute(out, place(x), axes); });
      CHECK_MESSAGE(y.same(), to_string(shape), " of ", dtype);
    }
  }
}

TEST_CASE("copy_axis moves every element type and keeps the rest") {
  if (!cuda_ready()) return;
  const AxisCopy copies[] = {{.axis = 1, .count = 3, .y_begin = 2},
                             {.axis = 1, .count = 3, .y_begin = 1, .y_step = 2, .x_begin = 4, .x_step = -1},
                             {.axis = 1, .count = 4, .x_begin = 2, .x_step = 0},
                             {.axis = 0, .count = 2, .y_begin = 1}};
  for (const DType dtype : {DType::U8, DType::BF16, DType::F32, DType::I64}) {
    for (const int64_t inner : {1, 3, 16}) {
      const Tensor x = normal({3, 5, inner}).to(dtype);
      for (const AxisCopy& copy : copies) {
        const Shape shape = copy.axis == 0 ? Shape{4, 5, inner} : Shape{3, 7, inner};
        const Both y(shape, dtype,
                     [&](Tensor& out, const auto& place) { kernels::copy_axis(out, place(x), copy); });
        CHECK_MESSAGE(y.same(), "inner ", inner, " of ", dtype);
      }
    }
  }
}

TEST_CASE("sums choose rows, chunks, columns and threads alike") {
  if (!cuda_ready()) return;
  const std::pair<Shape, AxisMask> sums[] = {
      {{70000}, 1},   {{3, 40000}, 2}, {{5, 1500}, 2},   {{9, 100}, 2},       {{300, 3}, 2},
      {{5000, 3}, 1}, {{5000, 70}, 1}, {{2, 700, 5}, 2}, {{30, 40, 2000}, 2}, {{2, 3000, 7, 40}, 10}};
  for (const DType dtype : {DType::F32, DType::F64}) {
    for (const auto& [shape, axes] : sums) {
      const Tensor x = normal(shape, dtype);
      int64_t count = shape.numel();
      for (int i = 0; i < shape.rank(); ++i) count /= (axes >> i & 1) != 0 ? shape[i] : 1;
      const Both y({count}, dtype,
                   [&](Tensor& out, const auto& place) { kernels::sum(out, place(x), axes, 0.5); });
      CHECK_MESSAGE(y.error() <= (dtype == DType::F32 ? 1e-13 : 1e-28), to_string(shape), " of ", dtype);
    }
  }
  const Tensor x = normal({3000, 33});
  const Both columns({33}, DType::F32,
                     [&](Tensor& y, const auto& place) { kernels::column_sum(y, place(x)); });
  CHECK(columns.error() <= 1e-13);
}

TEST_CASE("sums of bf16 may be f32") {
  if (!cuda_ready()) return;
  const Tensor x = normal({600, 24}, DType::BF16), wide = x.to(DType::F32);
  Tensor expected = Tensor::empty({24}), y = Tensor::empty({24}, DType::F32, cuda_device());
  kernels::column_sum(expected, wide);
  kernels::column_sum(y, on_device(x));
  CHECK(nmse(y.to(Device::cpu()), expected) <= 1e-13);
  kernels::sum(y, on_device(x), 1, 1);
  CHECK(nmse(y.to(Device::cpu()), expected) <= 1e-13);
}

TEST_CASE("softmax of long rows and columns, with infinities") {
  if (!cuda_ready()) return;
  for (const Shape& shape :
       {Shape{2, 5000}, Shape{2, 1027}, Shape{3, 1024}, Shape{2, 2050, 3}, Shape{2, 70, 5}}) {
    for (const bool log : {false, true}) {
      const SoftmaxOptions options{.axis = 1, .log = log};
      Tensor x = normal(shape, DType::F64);
      for (int64_t i = 0; i < x.numel(); i += 7) x.mut<double>()[i] = -INFINITY;
      const Both y(shape, DType::F64,
                   [&](Tensor& out, const auto& place) { kernels::softmax_forward(out, place(x), options); });
      Tensor host = y.host, device = y.device;  // the logarithm of 0 is exact: leave it out of the measure
      for (int64_t i = 0; i < x.numel(); ++i) {
        if (host.ptr<double>()[i] == device.ptr<double>()[i])
          host.mut<double>()[i] = device.mut<double>()[i] = 1;
      }
      CHECK_MESSAGE(nmse(device, host) <= 1e-26, to_string(shape), " log ", log);
      const Tensor dy = normal(shape, DType::F64), saved = normal(shape, DType::F64);
      const Both dx(shape, DType::F64, [&](Tensor& out, const auto& place) {
        kernels::softmax_backward(out, place(dy), place(saved), options);
      });
      CHECK_MESSAGE(dx.error() <= 1e-26, to_string(shape), " log ", log);
    }
  }
}

TEST_CASE("a row of softmax with NaN, inf or nothing but -inf is NaN") {
  if (!cuda_ready()) return;
  for (const Shape& shape : {Shape{3, 40}, Shape{3, 2000}, Shape{3, 40, 1, 2}}) {
    Tensor x = normal(shape);
    const int64_t row = shape.numel() / 3;
    for (int64_t i = 0; i < row; ++i) x.mut<float>()[i] = -INFINITY;
    x.mut<float>()[row + 6] = x.mut<float>()[row + 7] = INFINITY;
    x.mut<float>()[2 * row + 6] = x.mut<float>()[2 * row + 7] = NAN;
    for (const bool log : {false, true}) {
      Tensor y = Tensor::empty(shape, DType::F32, cuda_device());
      kernels::softmax_forward(y, on_device(x), {.axis = 1, .log = log});
      y = y.to(Device::cpu());
      const auto numbers = y.span<float>();
      CHECK(std::all_of(numbers.begin(), numbers.end(), [](float v) { return std::isnan(v); }));
    }
  }
}

TEST_CASE("random numbers are the host's") {
  if (!cuda_ready()) return;
  for (const DType dtype : {DType::F32, DType::F64}) {
    const Both uniform({4099}, dtype,
                       [](Tensor& y, const auto&) { kernels::fill_uniform(y, -0.3, 0.7, kStream); });
    CHECK(uniform.same());
    const Both gauss({4099}, dtype, [](Tensor& y, const auto&) { kernels::fill_normal(y, 0.02, kStream); });
    CHECK(gauss.error() <= (dtype == DType::F32 ? 1e-15 : 1e-28));
    const Tensor x = normal({4096}, dtype);
    for (const uint64_t first : {0, 8, 13}) {
      const Both y({4096}, dtype, [&](Tensor& out, const auto& place) {
        kernels::dropout(out, place(x), 0.37, kStream, first);
      });
      CHECK(y.same());
    }
  }
}

TEST_CASE("embedding: sums of long groups, paddings, indices that no row has") {
  if (!cuda_ready()) return;
  const int64_t n = 9001, rows = 50;
  std::vector<int64_t> index(static_cast<size_t>(n));
  for (size_t i = 0; i < index.size(); ++i) {
    const uint32_t word = kStream.word(i);
    index[i] = word % 3 == 0 ? 7 : word % 5 == 0 ? 11 : word / 16 % (rows - 5);
  }
  for (const int64_t dim : {1, 12, 67}) {
    for (const DType dtype : {DType::F32, DType::F64}) {
      const Tensor dy = normal({n, dim}, dtype), indices = Tensor::from(index, {n});
      const Both dweight({rows, dim}, dtype, [&](Tensor& out, const auto& place) {
        kernels::embedding_backward(out, place(dy), place(indices), 11);
      });
      CHECK(dweight.error() <= (dtype == DType::F32 ? 1e-14 : 1e-28));
    }
  }
  const Tensor bad = Tensor::from(std::vector<int64_t>{2, -1, 3}, {3}), table = normal({3, 5});
  Tensor y = Tensor::empty({3, 5}, DType::F32, cuda_device());
  kernels::embedding_forward(y, on_device(table), on_device(bad));
  y = y.to(Device::cpu());
  CHECK(same_bits(y.rows(0, 1).clone(), table.rows(2, 3).clone()));
  for (int64_t i = 5; i < 15; ++i) CHECK(std::isnan(y.ptr<float>()[i]));
  const tests::GuardedDevice guards;
  Tensor dweight = Tensor::empty({3, 5}, DType::F32, cuda_device());
  kernels::embedding_backward(dweight, on_device(normal({3, 5})), on_device(bad), -1);
  CHECK(dweight.to(Device::cpu()).ptr<float>()[0] == 0);
  CHECK(guards.violations() == 0);
}

TEST_SUITE_END();

}  // namespace lathe
