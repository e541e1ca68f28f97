#pragma once
// From values to codes, for the quantizers of quant/methods/.

#include "autograd/var.h"
#include "core/error.h"
#include "quant/codes.h"
#include "quant/cpu/groups.h"

namespace lathe {

/// Codes of `raw`'s shape without parameters; fn(value, group) gives each code.
template <class Fn>
Codes encode_elements(Decoder decoder, const Tensor& raw, int64_t group, const Fn& fn) {
  Codes codes;
  codes.decoder = decoder;
  codes.group = group;
  codes.integers = Tensor::empty(raw.shape(), DType::I32);
  const float* w = raw.ptr<float>();
  int32_t* q = codes.integers.mut<int32_t>();
  quant::for_each_piece(quant::Groups(raw.numel(), group), [&](int64_t g, int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; ++i) q[i] = static_cast<int32_t>(fn(w[i], g));
  });
  return codes;
}

/// The same of codes as numbers, on the host.
inline Codes encode_numbers(Decoder decoder, const Tensor& numbers, int64_t group) {
  Codes codes;
  codes.decoder = decoder;
  codes.group = group;
  codes.integers = numbers.to(DType::I32);
  return codes;
}

/// What is stored is float32, whatever the run computes in.
inline Tensor host_f32(const Tensor& tensor) {
  return tensor.to(Device::cpu()).to(DType::F32);
}

inline Tensor one_width(int bits, Device device = Device::cpu()) {
  return Tensor::full({1}, bits, DType::U8, device);
}

/// Bits of codes of one width: no gradient.
inline Var fixed_size(const Var& raw, int bits) {
  const double size = static_cast<double>(bits) * static_cast<double>(raw.data().numel());
  return Var(Tensor::full({1}, size, raw.dtype(), raw.data().device()));
}

}  // namespace lathe
