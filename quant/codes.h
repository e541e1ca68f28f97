#pragma once
// A weight tensor as integers and what they mean: what is stored, and what evaluation multiplies with.

#include <cstdint>
#include <string_view>

#include "core/tensor.h"

namespace lathe {

/// The formulas that turn a code q into a weight; quant/math/decode.h has them. In files: values never
/// change.
enum class Decoder : uint8_t {
  Affine = 1,     ///< scale * q, -2^(bits-1) <= q < 2^(bits-1)
  Range = 2,      ///< q / (2^bits - 1) * scale + offset, 0 <= q < 2^bits: scale is max - min, offset is min
  DeadZone = 3,   ///< scale * q + sign(q) * offset, -2^(bits-1) <= q < 2^(bits-1)
  ZeroPoint = 4,  ///< scale * (q - offset), 0 <= q < 2^bits; offset is an integer
  Half = 5,       ///< q is the bit pattern of an IEEE half, bits is 16; no scale
};

std::string_view to_string(Decoder decoder);

constexpr int kMostBits = 16;

/// The least code of `bits` bits; the greatest is 2^bits - 1 more.
constexpr int32_t lowest_code(Decoder decoder, int bits) {
  const bool centred = decoder == Decoder::Affine || decoder == Decoder::DeadZone;
  return centred ? -(int32_t{1} << (bits - 1)) : 0;
}

constexpr bool has_scale(Decoder decoder) {
  return decoder != Decoder::Half;
}
constexpr bool has_offset(Decoder decoder) {
  return decoder != Decoder::Half && decoder != Decoder::Affine;
}

/// Invariant (checked by check_codes): every code is in the range of its decoder and its group's width.
struct Codes {
  Decoder decoder = Decoder::Affine;
  Tensor integers;  ///< i32, of the weight's shape
  int64_t group =
      0;  ///< consecutive elements with one width and one scale, the last group may be shorter; 0: all
  bool pytorch_order = false;  ///< groups run over (out, in, k...), while `integers` stays in storage order
                               ///< (out, k..., in); quant/order.h has the map
  Tensor bits;                 ///< u8 (1) or (groups), 1 to kMostBits
  Tensor scale;                ///< f32 (1) or (groups); unless has_scale: undefined
  Tensor offset;               ///< f32 (1) or (groups); unless has_offset: undefined

  const Shape& shape() const { return integers.shape(); }
  int64_t groups() const;
};

/// FormatError naming what is out of range; `where` begins the message.
void check_codes(const Codes& codes, std::string_view where);
/// Of codes that check_codes accepts: f32, of the weight's shape. The same bits on every machine: no
/// contraction, no library function.
Tensor decode(const Codes& codes);

}  // namespace lathe
