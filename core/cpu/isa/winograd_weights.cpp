// G g G^T of weights and G^T u G of their gradients, see Notes [Winograd convolution] and [Winograd
// matrices]. A vector holds output channels of one input channel; the weights (K, 3, 3, C) are transposed on
// the way where that is not how they lie.

#include "core/cpu/isa/winograd_matrices.h"
#include "core/cpu/isa_winograd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

constexpr int kTaps = 9;

/// One vector of output channels: u + p * point for the 36 points.
template <class T>
void transform_weights(T* u, int64_t point, const Vec<T> (&g)[kTaps]) {
  Vec<T> t[3][6];
  for (int j = 0; j < 3; ++j) winograd_weight<T>(g[j], g[3 + j], g[6 + j], t[j]);
  for (int i = 0; i < 6; ++i) {
    Vec<T> o[6];
    winograd_weight<T>(t[0][i], t[1][i], t[2][i], o);
    for (int j = 0; j < 6; ++j) store(u + (6 * i + j) * point, o[j]);
  }
}

template <class T>
void transform_gradient(Vec<T> (&g)[kTaps], const Vec<T> (&u)[kWinogradPoints]) {
  Vec<T> t[6][3];
  for (int j = 0; j < 6; ++j) {
    const Vec<T> column[6] = {u[j], u[6 + j], u[12 + j], u[18 + j], u[24 + j], u[30 + j]};
    winograd_weight_adjoint<T>(column, t[j]);
  }
  for (int i = 0; i < 3; ++i) {
    const Vec<T> row[6] = {t[0][i], t[1][i], t[2][i], t[3][i], t[4][i], t[5][i]};
    Vec<T> o[3];
    winograd_weight_adjoint<T>(row, o);
    for (int j = 0; j < 3; ++j) g[3 * i + j] = o[j];
  }
}

/// Where input channel 0 of a vector of outputs stands in u, and the step between input channels.
template <class T>
struct Panel {
  int64_t at, step;

  Panel(const WinogradWeightsJob<T>& job, int64_t out) {
    constexpr int64_t kWide = 2 * kLanes<T>;
    const int64_t first = out - out % kWide;
    step = job.outs - first < kWide ? job.outs - first : kWide;
    at = first * job.ins + out % kWide;
  }
};

template <class T>
void run_weights(const WinogradWeightsJob<T>& job) {
  constexpr int kL = kLanes<T>;
  const int64_t point = winograd_weights_point(job.ins * job.outs), filter = kTaps * job.c;
  const int64_t next = job.rotated ? kL * filter : kL;  // what is read of other input channels comes then
  for (int64_t o = 0; o < job.outs; o += kL) {
    const Panel<T> panel(job, o);
    for (int64_t i = 0; i < job.ins; i += kL) {
      Vec<T> g[kTaps][kL];  // by input channel
      for (int q = 0; q < kTaps; ++q) {
        for (int l = 0; l < kL; ++l) {
          const T* from = job.rotated
                              ? job.w + (job.in + i + l) * filter + (kTaps - 1 - q) * job.c + job.out + o
                              : job.w + (job.out + o + l) * filter + q * job.c + job.in + i;
          __builtin_prefetch(from + next);
          g[q][l] = load(from);
        }
        if (!job.rotated) transpose<T>(g[q]);
      }
      for (int l = 0; l < kL; ++l) {
        Vec<T> one[kTaps];
        for (int q = 0; q < kTaps; ++q) one[q] = g[q][l];
        transform_weights(job.u + panel.at + (i + l) * panel.step, point, one);
      }
    }
  }
}

template <class T>
void run_gradient(const WinogradWeightGradientJob<T>& job) {
  constexpr int kL = kLanes<T>;
  for (int64_t o = 0; o < job.outs; o += kL) {
    for (int64_t i = 0; i < job.ins; i += kL) {
      Vec<T> g[kTaps][kL];
      for (int l = 0; l < kL; ++l) {
        const T* du = job.du + (i + l) * job.row + o;
        Vec<T> u[kWinogradPoints], one[kTaps];
        for (int64_t p = 0; p < kWinogradPoints; ++p) u[p] = load(du + p * job.point);
        transform_gradient<T>(one, u);
        for (int q = 0; q < kTaps; ++q) g[q][l] = one[q];
      }
      for (int q = 0; q < kTaps; ++q) {
        transpose<T>(g[q]);
        T* to = job.dw + ((job.out + o) * kTaps + q) * job.c + job.in + i;
        for (int l = 0; l < kL; ++l, to += kTaps * job.c) {
          if (i + kL < job.ins) __builtin_prefetch(to + kL, 1);
          store(to, job.accumulate ? load(to) + g[q][l] : g[q][l]);
        }
      }
    }
  }
}

}  // namespace

void winograd_weights_f32(const WinogradWeightsJob<float>& job) {
  run_weights(job);
}
void winograd_weights_f64(const WinogradWeightsJob<double>& job) {
  run_weights(job);
}
void winograd_weight_gradient_f32(const WinogradWeightGradientJob<float>& job) {
  run_gradient(job);
}
void winograd_weight_gradient_f64(const WinogradWeightGradientJob<double>& job) {
  run_gradient(job);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
