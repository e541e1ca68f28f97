#pragma once
// What quantization ops check of their arguments. Internal to quant/ops/.

#include "core/error.h"
#include "quant/cpu/groups.h"
#include "quant/ops/ops.h"

namespace lathe {

inline int64_t group_count(const Tensor& w, int64_t group) {
  return quant::Groups(w.numel(), group).count();
}

inline void check_values(const char* op, const Tensor& w) {
  LATHE_CHECK(ShapeError, w.numel() > 0, op, ": an empty tensor has no range");
}

inline void check_parameter(const char* op, const char* name, const Tensor& parameter, const Tensor& w,
                            int64_t group) {
  const int64_t count = group_count(w, group);
  LATHE_CHECK(ShapeError, parameter.numel() == 1 || parameter.numel() == count, op, ": ", name, " has ",
              parameter.numel(), " elements, expected 1 or one for each of ", count, " groups");
  LATHE_CHECK(DTypeError, parameter.dtype() == w.dtype(), op, ": ", name, " is ", parameter.dtype(),
              ", values are ", w.dtype());
}

inline void check_bits(const char* op, int bits, int least, int most) {
  LATHE_CHECK(ConfigError, bits >= least && bits <= most, op, ": expected ", least, " to ", most,
              " bits, found ", bits);
}

/// Where the gradient of an element-wise op's input goes: dy's own memory where nobody else sees it, so that
/// what equals dy need not be written. On the host only: kernels of other devices expect two tensors.
inline Tensor gradient_in_place(Backward& b) {
  const bool alone = b.dy().unique() && b.dy().device().type == DeviceType::Cpu;
  return alone ? b.dy() : b.dy().empty_like();
}

}  // namespace lathe
