#include "tools/bench/conv.h"

#include <algorithm>

#include "core/kernels/conv.h"
#include "core/math_mode.h"
#include "tools/bench/conv_cases.h"

namespace lathe::bench {
namespace {

constexpr const char* kForward = "forward";
constexpr const char* kBackwardData = "backward data";
constexpr const char* kBackwardWeight = "backward weight";

void bench_layer(std::vector<Row>& rows, const ConvCase& l, double seconds, const Machine& machine) {
  const int64_t out = l.out_size();
  const Conv2dGeometry g{l.stride, l.stride, l.pad(), l.pad(), 1, 1, l.groups};
  const Shape xs{l.n, l.size, l.size, l.c}, ws{l.k, l.kernel, l.kernel, l.c / l.groups};
  const Shape ys{l.n, out, out, l.k};
  const Tensor x = Tensor::full(xs, 0.5), w = Tensor::full(ws, 0.25), dy = Tensor::full(ys, 0.125), bias;
  Tensor y = Tensor::empty(ys), dx = Tensor::empty(xs), dw = Tensor::empty(ws);
  const double flops = 2.0 * static_cast<double>(ys.numel() * ws.numel() / l.k);
  const Work work{flops, static_cast<double>(y.bytes() + x.bytes() + w.bytes())};
  const bool winograd = l.kernel == 3 && l.stride == 1 && l.groups == 1 && l.c >= 16;
  const auto add = [&](const char* pass, FunctionRef<void()> fn) {
    rows.push_back(make_row(l.name, pass, time_calls(fn, seconds), work, machine));
    if (!winograd) return;
    const MathModeScope direct({.winograd = false});
    rows.push_back(make_row(l.name, std::string(pass) + ", direct", time_calls(fn, seconds), work, machine));
  };
  add(kForward, [&] { kernels::conv2d_forward(y, x, w, bias, g); });
  add(kBackwardData, [&] { kernels::conv2d_backward_data(dx, dy, w, g); });
  add(kBackwardWeight, [&] { kernels::conv2d_backward_weight(dw, dy, x, g); });
}

}  // namespace

std::vector<Row> bench_conv(const std::string& filter, double seconds) {
  std::vector<Row> rows;
  const Machine machine = measure_machine();
  for (const ConvCase& layer : kConvCases) {
    if (std::string(layer.name).find(filter) != std::string::npos) bench_layer(rows, layer, seconds, machine);
  }
  return rows;
}

double resnet20_conv_ms(const std::vector<Row>& rows) {
  double total = 0;
  for (const ConvCase& layer : kConvCases) {
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
