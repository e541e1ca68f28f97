#include "models/tiny_vit_blocks.h"

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"

namespace lathe {
namespace {

constexpr int64_t kExpansion = 4;

Conv2dOptions depthwise(int64_t width, int64_t stride) {
  return {.kernel = 3, .stride = stride, .pad = 1, .groups = width};
}

}  // namespace

LinearOptions tiny_vit_linear() {
  return {.weight_init = init::truncated_normal(0.02), .bias_init = init::constant(0)};
}

MbConv::MbConv(Module& parent, std::string name, int64_t width, double drop_rate)
    : Module(parent, std::move(name)),
      conv1(*this, "conv1", width, kExpansion * width, {}),
      conv2(*this, "conv2", kExpansion * width, kExpansion * width, depthwise(kExpansion * width, 1)),
      conv3(*this, "conv3", kExpansion * width, width, {}, {.initial_weight = 0}),
      drop_path(*this, "drop_path", drop_rate) {}

Var MbConv::operator()(const Var& x) {
  const ErrorScope scope(*this);
  const Var hidden = gelu(conv2(gelu(conv1(x))));
  return gelu(drop_path.active() ? add(x, drop_path(conv3(hidden))) : conv3(hidden, {.residual = x}));
}

PatchMerging::PatchMerging(Module& parent, std::string name, int64_t in, int64_t out)
    : Module(parent, std::move(name)),
      conv1(*this, "conv1", in, out, {}),
      conv2(*this, "conv2", out, out, depthwise(out, 2)),
      conv3(*this, "conv3", out, out, {}) {}

Var PatchMerging::operator()(const Var& x) {
  const ErrorScope scope(*this);
  return conv3(gelu(conv2(gelu(conv1(x)))));
}

TinyVitMlp::TinyVitMlp(Module& parent, std::string name, int64_t width)
    : Module(parent, std::move(name)),
      norm(*this, "norm", width),
      fc1(*this, "fc1", width, kExpansion * width, tiny_vit_linear()),
      fc2(*this, "fc2", kExpansion * width, width, tiny_vit_linear()) {}

Var TinyVitMlp::branch(const Var& x, const Var& residual) {
  const ErrorScope scope(*this);
  return fc2.fused(fc1(norm(x)), true, residual);
}

TinyVitBlock::TinyVitBlock(Module& parent, std::string name, const TinyVitBlockOptions& options)
    : Module(parent, std::move(name)),
      window(options.window),
      attn(*this, "attn", options.width,
           {.heads = options.heads,
            .window = options.window,
            .qkv = tiny_vit_linear(),
            .out = tiny_vit_linear()}),
      mlp(*this, "mlp", options.width),
      local_conv(*this, "local_conv", options.width, options.width, depthwise(options.width, 1)),
      drop_path1(*this, "drop_path1", options.drop_path),
      drop_path2(*this, "drop_path2", options.drop_path) {}

Var TinyVitBlock::operator()(const Var& x) {
  const ErrorScope scope(*this);
  const Var attended = join_windows(attn(partition_windows(x, window)), window, x.dim(1), x.dim(2));
  const Var map = local_conv(add(x, drop_path1(attended)));
  const Var points = reshape(map, {map.dim(0), map.dim(1) * map.dim(2), map.dim(3)});
  const Var y =
      drop_path2.active() ? add(points, drop_path2(mlp.branch(points, {}))) : mlp.branch(points, points);
  return reshape(y, map.shape());
}

}  // namespace lathe
