// Note [Fused convolutions] on the kernels of Note [Depthwise rows]: an operand's map makes one row at a
// time.

#include "core/cpu/by_type.h"
#include "core/cpu/conv_depthwise_rows.h"
#include "core/cpu/conv_drive.h"

namespace lathe::cpu {
namespace {

/// An operand as the kernels read it: rows of `size` values made on demand, or in place.
template <class T>
class RowInput {
 public:
  RowInput(const ConvOperand<T>& operand, RowChunk row)
      : source_(conv_source(operand)),
        mapping_(conv_mapping(operand)),
        row_(row),
        fill_(*this),
        input_{source_, mapping_.map == ConvMap::Identity ? nullptr : &fill_, mapping_.g} {}
  RowInput(const RowInput&) = delete;
  RowInput& operator=(const RowInput&) = delete;

  const DepthwiseInput<T>& input() const { return input_; }

  /// Makes row n.
  void operator()(T* to, int64_t n) const {
    const int64_t at = n * row_.rows * row_.channels;
    ConvMapping<T> mapping = mapping_;
    if (mapping.g != nullptr) mapping.g += at;
    if (mapping.y != nullptr) mapping.y += at;
    by_type<T>(map_rows_f32, map_rows_f64)(to, source_ + at, mapping, row_);
  }

 private:
  const T* source_;
  ConvMapping<T> mapping_;
  RowChunk row_;  // pixels of a row of the image, and their channels
  DepthwiseFill<T> fill_;
  DepthwiseInput<T> input_;
};

}  // namespace

template <class T>
void depthwise_fused_forward(const ConvShape& s, T* y, const ConvOperand<T>& x, const T* w, const T* bias,
                             std::vector<double>* moments) {
  const RowInput<T> in(x, {s.w, s.c});
  ConvMoments<T> sums(moments == nullptr ? 0 : kDepthwiseChunks, s.k);
  const auto add = [&](int64_t chunk, int64_t lo, int64_t hi) {
    sums.add(chunk, y, lo * s.ow, (hi - lo) * s.ow);
  };
  const DepthwiseDone done = add;
  depthwise_rows_forward(s, y, in.input(), w, bias, moments == nullptr ? nullptr : &done);
  if (moments != nullptr) *moments = sums.total();
}

template <class T>
void depthwise_fused_backward(const ConvShape& s, T* dw, ConvInputGradient<T>& gradient,
                              const ConvOperand<T>& dy, const ConvOperand<T>& x, const T* w) {
  const RowInput<T> dy_in(dy, {s.ow, s.k}), x_in(x, {s.w, s.c});
  ConvGradientEnd<T> end(gradient, kDepthwiseChunks, s.c);
  const auto add = [&](int64_t chunk, int64_t lo, int64_t hi) { end.add(chunk, lo * s.w, (hi - lo) * s.w); };
  const DepthwiseDone all = add, *done = end.wanted() ? &all : nullptr;
  if (gradient.dx == nullptr) {
    depthwise_rows_backward_weight(s, dw, dy_in.input(), x_in.input());
  } else if (dw == nullptr) {
    depthwise_rows_backward_data(s, gradient.dx, dy_in.input(), w, done);
  } else {
    depthwise_rows_backward(s, dw, gradient.dx, dy_in.input(), x_in.input(), w, done);
  }
  gradient.sums = end.total();
}

#define LATHE_INSTANTIATE(T)                                                                                 \
  template void depthwise_fused_forward(const ConvShape&, T*, const ConvOperand<T>&, const T*, const T*,     \
                                        std::vector<double>*);                                               \
  template void depthwise_fused_backward(const ConvShape&, T*, ConvInputGradient<T>&, const ConvOperand<T>&, \
                                         const ConvOperand<T>&, const T*);
LATHE_INSTANTIATE(float)
LATHE_INSTANTIATE(double)
#undef LATHE_INSTANTIATE

}  // namespace lathe::cpu
