#include "core/conv_chain.h"

#include <optional>
#include <utility>

#include "core/cpu/conv_fused.h"
#include "core/cpu/norm_maps.h"
#include "core/cpu/norm_parts.h"
#include "core/cpu/winograd.h"

namespace lathe {
namespace {

using cpu::AffineRows;
using cpu::ConvInputGradient;
using cpu::ConvOperand;
using cpu::ConvShape;
using cpu::GradientRows;
using cpu::NormGradientMap;
using cpu::NormMap;
using cpu::RowChunk;
using cpu::rows_of;

template <class T>
AffineRows<T> affine_of(const ConvNorm& layer, const NormMap<T>& map) {
  AffineRows<T> rows;
  rows.x = layer.z.ptr<T>();
  rows.mean = layer.mean.ptr<T>();
  rows.scale = map.scale.data();
  rows.shift = map.shift.data();
  rows.relu = true;
  return rows;
}

template <class T>
NormMap<T> map_of(const ConvNorm& layer) {
  return NormMap<T>(layer.invstd, layer.gamma, layer.beta);
}

/// The input of layer `l`: x, or relu(norm(z)) of the layer before it.
template <class T>
ConvOperand<T> input_of(std::span<const ConvNorm> layers, size_t l, const Tensor& x, const NormMap<T>* map) {
  if (l == 0) return cpu::as_is(x.ptr<T>());
  ConvOperand<T> operand;
  operand.map = ConvOperand<T>::Map::Affine;
  operand.affine = affine_of(layers[l - 1], *map);
  return operand;
}

template <class T>
void forward(Tensor& out, const Tensor& x, std::span<ConvNorm> layers, std::span<RunningStatistics> running,
             const ConvChainEnd& end) {
  std::optional<NormMap<T>> map;
  for (size_t l = 0; l < layers.size(); ++l) {
    ConvNorm& layer = layers[l];
    const ConvShape shape(l == 0 ? x : layers[l - 1].z, layer.w, layer.z, layer.geometry);
    const RowChunk all = rows_of(layer.z);
    std::vector<double> moments;
    const T* no_bias = nullptr;
    cpu::conv_fused_forward(shape, layer.z.mut<T>(), input_of(layers, l, x, map ? &*map : nullptr),
                            layer.w.ptr<T>(), no_bias, &moments);
    cpu::set_statistics<T>(layer.mean, layer.invstd, moments, all.rows, running[l].eps);
    if (running[l].mean.defined() && all.rows > 1) {
      cpu::update_running<T>(running[l].mean, running[l].var, moments, all.rows, running[l].momentum);
    }
    map = map_of<T>(layer);
  }
  AffineRows<T> rows = affine_of(layers.back(), *map);
  rows.y = out.mut<T>();
  rows.residual = end.residual.defined() ? end.residual.ptr<T>() : nullptr;
  rows.relu = end.relu;
  cpu::all_affine_rows(rows, rows_of(out));
}

bool any_wanted(const ConvNormGradients& g) {
  return g.dw.defined() || g.dgamma.defined() || g.dbeta.defined();
}

/// Before this layer nothing is wanted.
size_t first_wanted(const ConvChainGradients& gradients) {
  size_t first = 0;
  if (gradients.dx.defined()) return first;
  while (first < gradients.layers.size() && !any_wanted(gradients.layers[first])) ++first;
  return first;
}

/// The tensors of a BackwardPass and nothing else, for Device::meta().
void allocate_backward(const ConvChainGradients& gradients, std::span<const ConvNorm> layers) {
  Tensor g;
  for (size_t l = layers.size(); l-- > first_wanted(gradients) + 1;) {
    Tensor next = layers[l - 1].z.empty_like();
    g = std::move(next);
  }
}

template <class T>
class BackwardPass {
 public:
  BackwardPass(ConvChainGradients& gradients, const Tensor& dy, const Tensor& out, const Tensor& x,
               std::span<const ConvNorm> layers)
      : gradients_(gradients), dy_(dy), out_(out), x_(x), layers_(layers) {}

  void run() {
    const size_t first = first_wanted(gradients_);
    begin();
    for (size_t l = layers_.size(); l-- > first;) {
      ConvNormGradients& g = gradients_.layers[l];
      cpu::set_norm_gradients<T>(g.dgamma, g.dbeta, sums_, layers_[l].invstd);
      const bool further = l > first || gradients_.dx.defined();
      if (g.dw.defined() || further) step(l, further);
    }
  }

 private:
  /// Sums of the last layer; dresidual, which from then on stands for dy.
  void begin() {
    g_ = dy_;
    mask_ = out_;
    GradientRows<T> rows;
    rows.dy = dy_.ptr<T>();
    rows.x = layers_.back().z.template ptr<T>();
    rows.y = out_.defined() ? out_.ptr<T>() : nullptr;
    rows.mean = layers_.back().mean.template ptr<T>();
    if (gradients_.dresidual.defined()) {
      rows.dresidual = gradients_.dresidual.template mut<T>();
      g_ = gradients_.dresidual;
      mask_ = Tensor();
    }
    sums_ = cpu::gradient_sums_of(rows, rows_of(dy_));
  }

  /// From the gradient of norm l's output to that of norm l - 1's, or to dx.
  void step(size_t l, bool further) {
    const ConvNorm& layer = layers_[l];
    const RowChunk all = rows_of(layer.z);
    const NormGradientMap<T> map(sums_, layer.invstd, layer.gamma, all.rows, true);
    std::optional<NormMap<T>> before;
    if (l > 0) before = map_of<T>(layers_[l - 1]);
    Tensor next;
    ConvInputGradient<T> gradient;
    if (further && l > 0) {
      next = layers_[l - 1].z.empty_like();
      gradient.dx = next.mut<T>();
      gradient.mask = affine_of(layers_[l - 1], *before);
    } else if (further) {
      gradient.dx = gradients_.dx.template mut<T>();
      if (gradients_.residual_is_x) {
        gradient.residual_dy = dy_.ptr<T>();
        gradient.residual_y = out_.defined() ? out_.ptr<T>() : nullptr;
      }
    }
    Tensor& dw = gradients_.layers[l].dw;
    const ConvShape shape(l == 0 ? x_ : layers_[l - 1].z, layer.w, layer.z, layer.geometry);
    cpu::conv_fused_backward(shape, dw.defined() ? dw.mut<T>() : nullptr, gradient, operand(layer, map),
                             input_of(layers_, l, x_, before ? &*before : nullptr),
                             layer.w.template ptr<T>());
    sums_ = std::move(gradient.sums);
    if (next.defined()) sums_.resize(2 * static_cast<size_t>(next.dim(-1)));  // none of an empty batch
    g_ = std::move(next);
    mask_ = Tensor();
  }

  ConvOperand<T> operand(const ConvNorm& layer, const NormGradientMap<T>& map) const {
    ConvOperand<T> dz;
    dz.map = ConvOperand<T>::Map::Gradient;
    dz.gradient.dy = g_.ptr<T>();
    dz.gradient.x = layer.z.ptr<T>();
    dz.gradient.y = mask_.defined() ? mask_.ptr<T>() : nullptr;
    dz.gradient.mean = layer.mean.ptr<T>();
    dz.gradient.a = map.a.data();
    dz.gradient.b = map.b.data();
    dz.gradient.c = map.c.data();
    return dz;
  }

  ConvChainGradients& gradients_;
  const Tensor &dy_, &out_, &x_;
  std::span<const ConvNorm> layers_;
  Tensor g_, mask_;           // gradient of the current norm's output, before the mask
  std::vector<double> sums_;  // of the masked g_
};

}  // namespace

void conv_chain_forward(Tensor& out, const Tensor& x, std::span<ConvNorm> layers,
                        std::span<RunningStatistics> running, const ConvChainEnd& end) {
  if (x.device().type == DeviceType::Meta) return;
  dispatch_floating(x.dtype(), "conv_bn_chain", [&]<class T>() { forward<T>(out, x, layers, running, end); });
}

void conv_chain_backward(ConvChainGradients& gradients, const Tensor& dy, const Tensor& out, const Tensor& x,
                         std::span<const ConvNorm> layers) {
  if (x.device().type == DeviceType::Meta) return allocate_backward(gradients, layers);
  dispatch_floating(x.dtype(), "conv_bn_chain",
                    [&]<class T>() { BackwardPass<T>(gradients, dy, out, x, layers).run(); });
}

}  // namespace lathe
