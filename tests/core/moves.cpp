// Kernels that move elements: shape and embedding.

#include <numeric>

#include <doctest/doctest.h>

#include "autograd/ops/embedding.h"
#include "autograd/ops/shape.h"
#include "core/kernels/embedding.h"
#include "core/kernels/shape.h"
#include "tests/support/kernels.h"

using namespace lathe;
using namespace lathe::tests;

TEST_SUITE_BEGIN("ops");

namespace {

Tensor permuted(const Tensor& x, const std::vector<int>& axes) {
  std::vector<int64_t> dims;
  for (const int axis : axes) dims.push_back(x.dim(axis));
  Tensor y = x.empty_like(Shape(std::span<const int64_t>(dims)));
  kernels::permute(y, x, axes);
  return y;
}

/// The definition.
template <class T>
bool is_permutation_of(const Tensor& y, const Tensor& x, const std::vector<int>& axes) {
  for (int64_t i = 0; i < y.numel(); ++i) {
    std::vector<int64_t> at(axes.size());
    int64_t rest = i;
    for (int axis = y.rank() - 1; axis >= 0; --axis) {
      at[static_cast<size_t>(axes[static_cast<size_t>(axis)])] = rest % y.dim(axis);
      rest /= y.dim(axis);
    }
    int64_t offset = 0;
    for (int axis = 0; axis < x.rank(); ++axis) offset = offset * x.dim(axis) + at[static_cast<size_t>(axis)];
    if (y.ptr<T>()[i] != x.ptr<T>()[offset]) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("permute: every order of the axes, there and back") {
  for (const Shape& shape :
       {Shape{3, 5, 4, 7}, Shape{2, 1, 33, 17}, Shape{1, 1, 1, 1}, Shape{70, 2, 1, 65}}) {
    const Tensor x = random_tensor(shape, 1);
    std::vector<int> axes{0, 1, 2, 3};
    do {
      const Tensor y = permuted(x, axes);
      CHECK(is_permutation_of<float>(y, x, axes));
      std::vector<int> back(4);
      for (int i = 0; i < 4; ++i) back[static_cast<size_t>(axes[static_cast<size_t>(i)])] = i;
      CHECK(same_bits(permuted(y, back), x));
    } while (std::next_permutation(axes.begin(), axes.end()));
  }
}

TEST_CASE("permute: any element type, large, for any number of threads") {
  const Tensor x = random_tensor({300, 401}, 2, 0, 200);
  CHECK(is_permutation_of<uint8_t>(permuted(x.to(DType::U8), {1, 0}), x.to(DType::U8), {1, 0}));
  CHECK(is_permutation_of<int64_t>(permuted(x.to(DType::I64), {1, 0}), x.to(DType::I64), {1, 0}));
  CHECK(is_permutation_of<float>(permuted(x, {1, 0}), x, {1, 0}));
  CHECK(thread_invariant([&] { return permuted(x, {1, 0}); }));
}

TEST_CASE("reshape shares storage; backwards it only renames the axes") {
  const Var x(random_tensor({4, 6}, 1), true);
  const Var y = reshape(x, {3, 8});
  CHECK(y.data().shares_storage(x.data()));
  const Tensor dy = random_tensor({3, 8}, 2);
  backward(y, dy);
  CHECK(x.grad().shape() == x.shape());
  CHECK(same_bits(x.grad().view(dy.shape()), dy));
}

TEST_CASE("concat of slices is the whole") {
  const Var x(random_tensor({5, 9, 4}, 3));
  for (const int axis : {0, 1, 2}) {
    const Var y = concat({slice(x, axis, 0, 1), slice(x, axis, 1, 1), slice(x, axis, 1, -1)}, axis);
    CHECK(same_bits(y.data(), x.data()));
  }
}

TEST_CASE("pad: constant and replicate") {
  const Var x(Tensor::from(std::vector<float>{1, 2, 3}, {1, 3}));
  const auto values = [](const Var& y) {
    const auto span = y.data().span<float>();
    return std::vector<float>(span.begin(), span.end());
  };
  CHECK(values(pad(x, {.before = 1, .after = 2, .value = 7})) == std::vector<float>{7, 1, 2, 3, 7, 7});
  CHECK(values(pad(x, {.before = 2, .after = 1, .mode = PadMode::Replicate})) ==
        std::vector<float>{1, 1, 1, 2, 3, 3});
  CHECK(values(slice(x, 1, 0, -1, 2)) == std::vector<float>{1, 3});
}

TEST_CASE("option_a_shortcut: every second pixel between zero channels") {
  const Var x(random_tensor({2, 5, 4, 2}, 4));
  const Tensor y = option_a_shortcut(x, 2, 5).data();
  REQUIRE(y.shape() == Shape{2, 3, 2, 5});
  for (int64_t n = 0; n < 2; ++n) {
    for (int64_t h = 0; h < 3; ++h) {
      for (int64_t w = 0; w < 2; ++w) {
        const float* out = y.ptr<float>() + ((n * 3 + h) * 2 + w) * 5;
        const float* in = x.data().ptr<float>() + ((n * 5 + 2 * h) * 4 + 2 * w) * 2;
        CHECK(std::vector<float>(out, out + 5) == std::vector<float>{0, in[0], in[1], 0, 0});
      }
    }
  }
}

TEST_CASE("shape ops: misuse is an error") {
  const Var x(Tensor::zeros({2, 3}));
  CHECK_THROWS_AS(reshape(x, {5}), ShapeError);
  CHECK_THROWS_AS(permute(x, {0}), ShapeError);
  CHECK_THROWS_AS(permute(x, {0, 0}), ShapeError);
  CHECK_THROWS_AS(concat(std::vector<Var>{}, 0), ShapeError);
  CHECK_THROWS_AS(concat(std::vector<Var>{x, Var(Tensor::zeros({2, 3, 1}))}, 0), ShapeError);
  CHECK_THROWS_AS(concat(std::vector<Var>{x, Var(Tensor::zeros({3, 4}))}, 0), ShapeError);
  CHECK_THROWS_AS(slice(x, 1, 2, 4), ShapeError);
  CHECK_THROWS_AS(pad(x, {.before = -1}), ShapeError);
  CHECK_THROWS_AS(option_a_shortcut(x, 2, 4), ShapeError);
}

TEST_CASE("embedding: rows, an index out of range, the padded row") {
  const Var table(random_tensor({7, 600}, 5), true);
  const Tensor indices = Tensor::from(std::vector<int64_t>{6, 2, 2, 0, 6, 2}, {3, 2});
  const Var y = embedding(table, indices, 6);
  REQUIRE(y.shape() == Shape{3, 2, 600});
  CHECK(same_bits(y.data().view({6, 600}).rows(4, 5), table.data().rows(6, 7)));
  backward(y, Tensor::full(y.shape(), 1));
  const std::vector<float> counts{1, 0, 3, 0, 0, 0, 0};
  for (int64_t r = 0; r < 7; ++r) {
    CHECK(table.grad().ptr<float>()[r * 600] == counts[static_cast<size_t>(r)]);
    CHECK(table.grad().ptr<float>()[r * 600 + 599] == counts[static_cast<size_t>(r)]);
  }
  CHECK_THROWS_AS(embedding(table, Tensor::from(std::vector<int64_t>{7}, {1})), ShapeError);
  CHECK_THROWS_AS(embedding(table, Tensor::from(std::vector<int64_t>{-1}, {1})), ShapeError);
  CHECK_THROWS_AS(embedding(table, Tensor::zeros({1}, DType::I32)), DTypeError);
}

TEST_CASE("embedding backward: same bits for any number of threads, and the sum by definition") {
  const int64_t rows = 50, count = 3000, dim = 33;
  const Philox philox{.seed = 9, .stream = stream_id("rows")};
  std::vector<int64_t> index(static_cast<size_t>(count));
  for (size_t i = 0; i < index.size(); ++i) index[i] = philox.below(i, static_cast<uint32_t>(rows)) / 2;
  const Tensor indices = Tensor::from(index, {count}), dy = random_tensor({count, dim}, 6);
  const auto run = [&] {
    Tensor dw = Tensor::empty({rows, dim});
    kernels::embedding_backward(dw, dy, indices, -1);
    return dw;
  };
  CHECK(thread_invariant(run));
  CHECK(isa_spread(run) == 0);
  std::vector<double> expected(static_cast<size_t>(rows * dim), 0);
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < dim; ++j) {
      expected[static_cast<size_t>(index[static_cast<size_t>(i)] * dim + j)] += dy.ptr<float>()[i * dim + j];
    }
  }
  CHECK(nmse(run(), Tensor::from(expected, {rows, dim})) < 1e-13);
}

TEST_SUITE_END();
