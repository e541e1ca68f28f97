// Cases with many chunks of work and odd extents. Too large for gradcheck, which the small cases get.

#include "autograd/ops/activations.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/conv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/embedding.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "tests/laws/evaluate.h"

namespace lathe::laws {
namespace {

using Inputs = std::vector<Var>;

OpCase make(std::string name, std::vector<Shape> shapes, std::function<Var(const Inputs&)> apply) {
  OpCase op_case{.name = std::move(name), .inputs = {}, .apply = std::move(apply)};
  for (const Shape& shape : shapes) op_case.inputs.push_back({.shape = shape});
  return op_case;
}

/// n indices below `limit`.
Tensor indices(int64_t n, uint32_t limit) {
  Tensor result = Tensor::empty({n}, DType::I64);
  const Philox philox{11, stream_id("laws"), 0};
  for (int64_t i = 0; i < n; ++i) result.mut<int64_t>()[i] = philox.below(static_cast<uint64_t>(i), limit);
  return result;
}

std::vector<OpCase> elementwise_and_reduce() {
  return {
      make("add large", {{3, 35001}, {3, 35001}}, [](const Inputs& x) { return add(x[0], x[1]); }),
      make("add large bias", {{1171, 91}, {91}}, [](const Inputs& x) { return add(x[0], x[1]); }),
      make("mul large stretched", {{331, 1, 17}, {1, 23, 17}},
           [](const Inputs& x) { return mul(x[0], x[1]); }),
      make("gelu large", {{100003}}, [](const Inputs& x) { return gelu(x[0]); }),
      make("tanh large", {{100003}}, [](const Inputs& x) { return tanh(x[0]); }),
      make("glu large", {{1003, 94}}, [](const Inputs& x) { return glu(x[0]); }),
      make("sum large", {{120001}}, [](const Inputs& x) { return sum(square(x[0])); }),
      make("sum large rows", {{4001, 33}}, [](const Inputs& x) { return sum(x[0], {.axes = {0}}); }),
      make("mean large columns", {{41, 2503}}, [](const Inputs& x) { return mean(x[0], {.axes = {1}}); }),
      make("sum large middle", {{7, 2003, 9}}, [](const Inputs& x) { return sum(x[0], {.axes = {1}}); }),
      make("variance large", {{3001, 37}}, [](const Inputs& x) { return variance(x[0], {.axes = {0}}); }),
  };
}

std::vector<OpCase> products() {
  const Conv2dGeometry same{.pad_h = 1, .pad_w = 1};
  const Conv2dGeometry stride{.stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1};
  const Conv2dGeometry depthwise{.pad_h = 1, .pad_w = 1, .groups = 35};
  return {
      make("matmul large", {{257, 129}, {129, 131}}, [](const Inputs& x) { return matmul(x[0], x[1]); }),
      make("matmul large transposed", {{129, 257}, {131, 129}},
           [](const Inputs& x) { return matmul(x[0], x[1], {.transpose_a = true, .transpose_b = true}); }),
      make("matmul large sum", {{7, 5003}, {5003, 9}}, [](const Inputs& x) { return matmul(x[0], x[1]); }),
      make("matmul large batch", {{6, 61, 35}, {6, 35, 67}},
           [](const Inputs& x) { return matmul(x[0], x[1]); }),
      make("linear large", {{1021, 65}, {97, 65}, {97}},
           [](const Inputs& x) { return linear(x[0], x[1], x[2]); }),
      make("linear large, gelu", {{2053, 45}, {297, 45}, {297}, {2053, 297}},
           [](const Inputs& x) { return linear(x[0], x[1], x[2], {.gelu = true, .residual = x[3]}); }),
      make("conv2d large 3x3", {{5, 33, 31, 17}, {19, 3, 3, 17}, {19}},
           [=](const Inputs& x) { return conv2d(x[0], x[1], x[2], same); }),
      make("conv2d large Winograd", {{5, 33, 31, 32}, {48, 3, 3, 32}, {48}},
           [=](const Inputs& x) { return conv2d(x[0], x[1], x[2], same); }),
      make("conv2d large stride 2", {{5, 33, 31, 32}, {40, 3, 3, 32}},
           [=](const Inputs& x) { return conv2d(x[0], x[1], {}, stride); }),
      make("conv2d large 1x1", {{9, 14, 14, 64}, {72, 1, 1, 64}, {72}},
           [](const Inputs& x) { return conv2d(x[0], x[1], x[2], {}); }),
      make("conv2d large depthwise", {{4, 31, 29, 35}, {35, 3, 3, 1}},
           [=](const Inputs& x) { return conv2d(x[0], x[1], {}, depthwise); }),
      make("conv2d large groups", {{4, 19, 21, 24}, {32, 3, 3, 12}},
           [](const Inputs& x) { return conv2d(x[0], x[1], {}, {.pad_h = 1, .pad_w = 1, .groups = 2}); }),
      make("conv1d large", {{3, 901, 11}, {23, 5, 11}, {23}},
           [](const Inputs& x) { return conv1d(x[0], x[1], x[2], {.stride = 2, .padding = 2}); }),
      make("conv_transpose2d large", {{3, 15, 17, 19}, {19, 3, 3, 21}, {21}},
           [=](const Inputs& x) { return conv_transpose2d(x[0], x[1], x[2], {.conv = stride}); }),
  };
}

Var norm_of(const Inputs& x, bool training, bool relu, const Var& residual) {
  const DType dtype = x[0].dtype();
  const int64_t c = x[0].dim(-1);
  const Device device = x[0].data().device();
  return batch_norm(x[0], x[1], x[2], Tensor::full({c}, 0.1, dtype, device),
                    Tensor::full({c}, 0.7, dtype, device), {.training = training, .relu = relu}, residual);
}

std::vector<OpCase> norms_and_pools() {
  const Pool2dOptions window{
      .kernel_h = 3, .kernel_w = 3, .stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1};
  return {
      make("batch_norm large", {{16, 15, 31, 19}, {19}, {19}},
           [](const Inputs& x) { return norm_of(x, true, false, {}); }),
      make("batch_norm large evaluation", {{16, 15, 31, 19}, {19}, {19}},
           [](const Inputs& x) { return norm_of(x, false, false, {}); }),
      make("batch_norm large residual relu", {{8, 13, 31, 32}, {32}, {32}, {8, 13, 31, 32}},
           [](const Inputs& x) { return norm_of(x, true, true, x[3]); }),
      make("layer_norm large", {{1031, 97}, {97}, {97}},
           [](const Inputs& x) { return layer_norm(x[0], x[1], x[2]); }),
      make("layer_norm large rows", {{5, 4100}, {4100}, {4100}},
           [](const Inputs& x) { return layer_norm(x[0], x[1], x[2]); }),
      make("group_norm large", {{9, 21, 23, 24}, {24}, {24}},
           [](const Inputs& x) { return group_norm(x[0], x[1], x[2], 3); }),
      make("max_pool2d large", {{5, 45, 43, 17}}, [=](const Inputs& x) { return max_pool2d(x[0], window); }),
      make("avg_pool2d large", {{5, 45, 43, 17}}, [=](const Inputs& x) { return avg_pool2d(x[0], window); }),
      make("adaptive_avg_pool2d large", {{5, 45, 43, 17}},
           [](const Inputs& x) { return adaptive_avg_pool2d(x[0], 7, 5); }),
      make("global_avg_pool2d large", {{37, 21, 23, 9}},
           [](const Inputs& x) { return global_avg_pool2d(x[0]); }),
      make("softmax large", {{1021, 101}}, [](const Inputs& x) { return softmax(x[0]); }),
      make("softmax large middle", {{31, 101, 37}}, [](const Inputs& x) { return softmax(x[0], 1); }),
      make("log_softmax large", {{1021, 101}}, [](const Inputs& x) { return log_softmax(x[0]); }),
  };
}

std::vector<OpCase> losses_and_others() {
  return {
      make("cross_entropy large", {{4099, 29}},
           [](const Inputs& x) {
             return cross_entropy(x[0], indices(4099, 29).to(x[0].data().device()),
                                  {.label_smoothing = 0.1, .class_weights = {}});
           }),
      make("cross_entropy large rows", {{11, 2053}},
           [](const Inputs& x) {
             return cross_entropy(x[0], indices(11, 2053).to(x[0].data().device()),
                                  {.label_smoothing = 0.1, .class_weights = {}});
           }),
      make("mse_loss large", {{100003}, {100003}}, [](const Inputs& x) { return mse_loss(x[0], x[1]); }),
      make("bce_with_logits large", {{100003}},
           [](const Inputs& x) {
             return bce_with_logits(
                 x[0], Var(Tensor::full(x[0].shape(), 0.25, x[0].dtype(), x[0].data().device())));
           }),
      make("embedding large", {{97, 131}},
           [](const Inputs& x) { return embedding(x[0], indices(5003, 97).to(x[0].data().device())); }),
      make("permute large", {{61, 67, 37}},
           [](const Inputs& x) {
             return permute(x[0], {2, 0, 1});
           }),
      make("concat large", {{301, 7, 29}, {301, 5, 29}},
           [](const Inputs& x) {
             return lathe::concat({x[0], x[1]}, 1);
           }),
      make("slice large", {{301, 17, 29}}, [](const Inputs& x) { return slice(x[0], 1, 1, 16, 2); }),
      make("pad large", {{301, 13, 29}},
           [](const Inputs& x) {
             return pad(x[0], {.axis = 1, .before = 2, .after = 3, .mode = PadMode::Replicate});
           }),
      make("dropout large", {{100003}},
           [](const Inputs& x) {
             return dropout(x[0], 0.3, Philox{1, 2, 3}, 5);
           }),
      make("attention large", {{2, 130, 3, 20}, {2, 130, 3, 20}, {2, 130, 3, 24}},
           [](const Inputs& x) { return attention(x[0], x[1], x[2], {.causal = true, .key_padding = {}}); }),
      make("attention large, wide heads", {{1, 67, 2, 100}, {1, 70, 2, 100}, {1, 70, 2, 36}},
           [](const Inputs& x) { return attention(x[0], x[1], x[2], {.causal = true, .key_padding = {}}); }),
      make("attention large, heads of 40", {{1, 67, 2, 40}, {1, 70, 2, 40}, {1, 70, 2, 33}},
           [](const Inputs& x) { return attention(x[0], x[1], x[2], {.key_padding = {}}); }),
      make("packed_attention large", {{17, 70, 3 * 2 * 20}},
           [](const Inputs& x) { return packed_attention(x[0], 2, {.causal = true, .key_padding = {}}); }),
      make("attention large bias", {{3, 67, 4, 16}, {3, 71, 4, 16}, {3, 71, 4, 16}, {4, 67, 71}},
           [](const Inputs& x) { return attention(x[0], x[1], x[2], {.key_padding = {}}, x[3]); }),
  };
}

}  // namespace

std::vector<OpCase> large_cases() {
  std::vector<OpCase> all;
  for (const auto& family : {elementwise_and_reduce(), products(), norms_and_pools(), losses_and_others()})
    all.insert(all.end(), family.begin(), family.end());
  return all;
}

}  // namespace lathe::laws
