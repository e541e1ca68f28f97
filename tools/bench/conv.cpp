#include "tools/bench/conv.h"

#include <algorithm>

#include "core/kernels/conv.h"
#include "core/math_mode.h"

namespace lathe::bench {
namespace {

struct Layer {
  const char* name;
  int64_t n, size, c, k, kernel;
  Conv2dGeometry g;
  int count = 0;  // in ResNet-20
};

constexpr Conv2dGeometry same{.pad_h = 1, .pad_w = 1}, half{2, 2, 1, 1, 1, 1, 1};

const Layer kLayers[] = {
    {"r20 3-16 32x32", 128, 32, 3, 16, 3, same, 1},
    {"r20 16 32x32", 128, 32, 16, 16, 3, same, 6},
    {"r20 16-32 /2", 128, 32, 16, 32, 3, half, 1},
    {"r20 32 16x16", 128, 16, 32, 32, 3, same, 5},
    {"r20 32-64 /2", 128, 16, 32, 64, 3, half, 1},
    {"r20 64 8x8", 128, 8, 64, 64, 3, same, 5},
    {"r18 64 32x32", 8, 32, 64, 64, 3, same},
    {"r18 64-128 /2", 32, 32, 64, 128, 3, half},
    {"r18 128 16x16", 32, 16, 128, 128, 3, same},
    {"r18 256 8x8", 32, 8, 256, 256, 3, same},
    {"r18 512 4x4", 32, 4, 512, 512, 3, same},
    {"mb pointwise 32-64 32x32", 32, 32, 32, 64, 1, {}},
    {"mb pointwise 128 16x16", 64, 16, 128, 128, 1, {}},
    {"mb pointwise 512 4x4", 128, 4, 512, 512, 1, {}},
    {"mb depthwise 32 32x32", 64, 32, 32, 32, 3, {1, 1, 1, 1, 1, 1, 32}},
    {"mb depthwise 64 /2", 64, 32, 64, 64, 3, {2, 2, 1, 1, 1, 1, 64}},
    {"mb depthwise 128 16x16", 64, 16, 128, 128, 3, {1, 1, 1, 1, 1, 1, 128}},
    {"mb depthwise 512 4x4", 128, 4, 512, 512, 3, {1, 1, 1, 1, 1, 1, 512}},
};

constexpr const char* kForward = "forward";
constexpr const char* kBackwardData = "backward data";
constexpr const char* kBackwardWeight = "backward weight";

void bench_layer(std::vector<Row>& rows, const Layer& l, double seconds, double peak) {
  const int64_t out = conv_out(l.size, l.kernel, l.g.stride_h, l.g.pad_h, 1);
  const Shape xs{l.n, l.size, l.size, l.c}, ws{l.k, l.kernel, l.kernel, l.c / l.g.groups};
  const Shape ys{l.n, out, out, l.k};
  const Tensor x = Tensor::full(xs, 0.5), w = Tensor::full(ws, 0.25), dy = Tensor::full(ys, 0.125), bias;
  Tensor y = Tensor::empty(ys), dx = Tensor::empty(xs), dw = Tensor::empty(ws);
  const double flops = 2.0 * static_cast<double>(ys.numel() * ws.numel() / l.k);
  const bool winograd = l.kernel == 3 && l.g == same && l.c >= 16;
  const auto add = [&](const char* pass, FunctionRef<void()> fn) {
    rows.push_back(make_row(l.name, pass, time_calls(fn, seconds), flops, peak));
    if (!winograd) return;
    const MathModeScope direct({.winograd = false});
    rows.push_back(make_row(l.name, std::string(pass) + ", direct", time_calls(fn, seconds), flops, peak));
  };
  add(kForward, [&] { kernels::conv2d_forward(y, x, w, bias, l.g); });
  add(kBackwardData, [&] { kernels::conv2d_backward_data(dx, dy, w, l.g); });
  add(kBackwardWeight, [&] { kernels::conv2d_backward_weight(dw, dy, x, l.g); });
}

}  // namespace

std::vector<Row> bench_conv(const std::string& filter, double seconds) {
  std::vector<Row> rows;
  const double peak = peak_gflops();
  for (const Layer& layer : kLayers) {
    if (std::string(layer.name).find(filter) != std::string::npos) bench_layer(rows, layer, seconds, peak);
  }
  return rows;
}

double resnet20_conv_ms(const std::vector<Row>& rows) {
  double total = 0;
  for (const Layer& layer : kLayers) {
    for (const char* pass : {kForward, kBackwardData, kBackwardWeight}) {
      const bool image_gradient = layer.c == 3 && pass == kBackwardData;  // nobody asks for it
      if (layer.count == 0 || image_gradient) continue;
      const auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& candidate) {
        return candidate.name == layer.name && candidate.pass == pass;
      });
      if (row == rows.end()) return 0;
      total += layer.count * row->ms_median;
    }
  }
  return total;
}

}  // namespace lathe::bench
