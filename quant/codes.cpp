#include "quant/codes.h"

#include <algorithm>
#include <cmath>

#include "core/half.h"
#include "core/parallel.h"
#include "quant/math/decode.h"
#include "quant/order.h"

namespace lathe {
namespace {

constexpr int64_t kChunk = 1 << 16;

/// Elements of a group but the last.
int64_t group_length(const Codes& codes) {
  return codes.group == 0 ? std::max<int64_t>(codes.integers.numel(), 1) : codes.group;
}

/// The value of a group, from a tensor that holds one for all or one for each.
template <class T>
T of_group(const Tensor& tensor, int64_t group) {
  return tensor.ptr<T>()[tensor.numel() == 1 ? 0 : group];
}

/// Calls visit(group, lo, hi) for the parts of groups in positions [lo, hi).
template <class Visit>
void for_each_group(const Codes& codes, int64_t lo, int64_t hi, Visit&& visit) {
  const int64_t length = group_length(codes);
  while (lo < hi) {
    const int64_t group = lo / length, end = std::min(hi, (group + 1) * length);
    visit(group, lo, end);
    lo = end;
  }
}

void check_parameter(const Tensor& tensor, std::string_view name, DType dtype, const Codes& codes,
                     std::string_view where) {
  LATHE_CHECK(FormatError, tensor.defined(), where, ": ", name, " is missing, decoder ", codes.decoder,
              " needs it");
  LATHE_CHECK(FormatError, tensor.device() == Device::cpu() && tensor.dtype() == dtype, where, ": ", name,
              ": expected ", dtype, " on the host, found ", tensor.dtype(), " on ", tensor.device());
  LATHE_CHECK(FormatError, tensor.rank() == 1 && (tensor.numel() == 1 || tensor.numel() == codes.groups()),
              where, ": ", name, ": expected shape (1) or (", codes.groups(), "), found ", tensor.shape());
}

void check_parameters(const Codes& codes, std::string_view where) {
  check_parameter(codes.bits, "bits", DType::U8, codes, where);
  const bool half = codes.decoder == Decoder::Half;
  for (const uint8_t bits : codes.bits.span<uint8_t>()) {
    LATHE_CHECK(FormatError, bits >= (half ? kMostBits : 1) && bits <= kMostBits, where, ": bits: expected ",
                half ? kMostBits : 1, " to ", kMostBits, ", found ", bits);
  }
  const auto check_floats = [&](bool expected, const Tensor& tensor, std::string_view name) {
    if (expected) return check_parameter(tensor, name, DType::F32, codes, where);
    LATHE_CHECK(FormatError, !tensor.defined(), where, ": decoder ", codes.decoder, " has no ", name);
  };
  check_floats(has_scale(codes.decoder), codes.scale, "scale");
  check_floats(has_offset(codes.decoder), codes.offset, "offset");
  if (codes.decoder != Decoder::ZeroPoint) return;
  for (const float zero : codes.offset.span<float>()) {
    LATHE_CHECK(FormatError, std::rint(zero) == zero && std::isfinite(zero), where,
                ": offset: expected an integer, found ", zero);
  }
}

struct GroupValues {
  float scale, offset, levels;  // levels: 2^bits - 1
};

template <class Formula>
Tensor decode_groups(const Codes& codes, Formula formula) {
  Tensor weights = Tensor::empty(codes.shape());
  float* w = weights.mut<float>();
  const int32_t* q = codes.integers.ptr<int32_t>();
  const GroupOrder order(codes.shape(), codes.pytorch_order);
  parallel_for(weights.numel(), kChunk, [&](int64_t chunk_lo, int64_t chunk_hi) {
    for_each_group(codes, chunk_lo, chunk_hi, [&](int64_t group, int64_t lo, int64_t hi) {
      const GroupValues values{
          of_group<float>(codes.scale, group),
          codes.offset.defined() ? of_group<float>(codes.offset, group) : 0.0f,
          static_cast<float>((1 << of_group<uint8_t>(codes.bits, group)) - 1),
      };
      order.for_each(lo, hi, [&](int64_t i) { w[i] = formula(static_cast<float>(q[i]), values); });
    });
  });
  return weights;
}

Tensor decode_half(const Codes& codes) {
  Tensor weights = Tensor::empty(codes.shape());
  float* w = weights.mut<float>();
  const int32_t* q = codes.integers.ptr<int32_t>();
  parallel_for(weights.numel(), kChunk, [&](int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; ++i) w[i] = half_to_float(static_cast<uint16_t>(q[i]));
  });
  return weights;
}

}  // namespace

std::string_view to_string(Decoder decoder) {
  switch (decoder) {
    case Decoder::Affine:
      return "affine";
    case Decoder::Range:
      return "range";
    case Decoder::DeadZone:
      return "dead_zone";
    case Decoder::ZeroPoint:
      return "zero_point";
    case Decoder::Half:
      return "half";
  }
  return "unknown";
}

int64_t Codes::groups() const {
  if (group <= 0) return 1;
  return integers.numel() / group + (integers.numel() % group != 0 ? 1 : 0);
}

void check_codes(const Codes& codes, std::string_view where) {
  LATHE_CHECK(FormatError, codes.decoder >= Decoder::Affine && codes.decoder <= Decoder::Half, where,
              ": decoder ", static_cast<int>(codes.decoder), " is not known");
  LATHE_CHECK(FormatError, codes.integers.defined(), where, ": the codes are missing");
  LATHE_CHECK(FormatError, codes.integers.device() == Device::cpu() && codes.integers.dtype() == DType::I32,
              where, ": codes: expected i32 on the host, found ", codes.integers.dtype(), " on ",
              codes.integers.device());
  LATHE_CHECK(FormatError, codes.group >= 0, where, ": group: expected 0 or more, found ", codes.group);
  check_parameters(codes, where);
  const int32_t* q = codes.integers.ptr<int32_t>();
  const GroupOrder order(codes.shape(), codes.pytorch_order);
  parallel_for(codes.integers.numel(), kChunk, [&](int64_t chunk_lo, int64_t chunk_hi) {
    for_each_group(codes, chunk_lo, chunk_hi, [&](int64_t group, int64_t lo, int64_t hi) {
      const int bits = of_group<uint8_t>(codes.bits, group);
      const int32_t lowest = lowest_code(codes.decoder, bits), highest = lowest + (1 << bits) - 1;
      bool fits = true;
      order.for_each(lo, hi, [&](int64_t i) { fits = fits && q[i] >= lowest && q[i] <= highest; });
      if (fits) return;
      order.for_each(lo, hi, [&](int64_t i) {
        LATHE_CHECK(FormatError, q[i] >= lowest && q[i] <= highest, where, ": code ", i, " of group ", group,
                    ": expected ", lowest, " to ", highest, ", found ", q[i]);
      });
    });
  });
}

Tensor decode(const Codes& codes) {
  using Values = GroupValues;
  switch (codes.decoder) {
    case Decoder::Affine:
      return decode_groups(codes, [](float q, const Values& v) { return quant::decode_affine(q, v.scale); });
    case Decoder::Range:
      return decode_groups(codes, [](float q, const Values& v) {
        return quant::decode_range(q, v.levels, v.scale, v.offset);
      });
    case Decoder::DeadZone:
      return decode_groups(
          codes, [](float q, const Values& v) { return quant::decode_dead_zone(q, v.scale, v.offset); });
    case Decoder::ZeroPoint:
      return decode_groups(
          codes, [](float q, const Values& v) { return quant::decode_zero_point(q, v.scale, v.offset); });
    case Decoder::Half:
      break;
  }
  return decode_half(codes);
}

}  // namespace lathe
