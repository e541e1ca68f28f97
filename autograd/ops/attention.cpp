#include "autograd/ops/attention.h"

#include <cmath>

#include "autograd/ops/optional.h"
#include "core/kernels/attention.h"

namespace lathe {
namespace {

void check_padding(const Tensor& padding, int64_t samples, int64_t keys) {
  if (!padding.defined()) return;
  LATHE_CHECK(ShapeError, padding.shape() == Shape({samples, keys}), "attention: key padding is ",
              padding.shape(), ", expected ", Shape({samples, keys}));
  LATHE_CHECK(DTypeError, padding.dtype() == DType::U8, "attention: key padding is ", padding.dtype(),
              ", expected u8");
}

void check_bias(const Var& bias, const Shape& wanted, DType dtype) {
  if (!bias.defined()) return;
  LATHE_CHECK(ShapeError, bias.shape() == wanted, "attention: bias is ", bias.shape(), ", expected ", wanted);
  LATHE_CHECK(DTypeError, bias.dtype() == dtype, "attention: bias is ", bias.dtype(), ", q ", dtype);
}

void check_attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
                     const Var& bias) {
  LATHE_CHECK(ShapeError, q.rank() == 4 && k.rank() == 4 && v.rank() == 4,
              "attention: needs (N, T, heads, d), found q ", q.shape(), ", k ", k.shape(), ", v ", v.shape());
  const bool fits = k.dim(0) == q.dim(0) && v.dim(0) == q.dim(0) && k.dim(1) == v.dim(1) &&
                    k.dim(2) == q.dim(2) && v.dim(2) == q.dim(2) && k.dim(3) == q.dim(3);
  LATHE_CHECK(ShapeError, fits, "attention: q ", q.shape(), ", k ", k.shape(), " and v ", v.shape(),
              " do not fit");
  LATHE_CHECK(DTypeError, q.dtype() == k.dtype() && q.dtype() == v.dtype(), "attention: q is ", q.dtype(),
              ", k ", k.dtype(), ", v ", v.dtype());
  check_padding(options.key_padding, k.dim(0), k.dim(1));
  check_bias(bias, {q.dim(2), q.dim(1), k.dim(1)}, q.dtype());
}

/// `like` is bf16 or what statistics are kept in.
Tensor empty_lse(const Shape& shape, const Tensor& like) {
  return Tensor::empty(shape, like.dtype() == DType::BF16 ? DType::F32 : like.dtype(), like.device());
}

AttentionFlags flags_of(const AttentionOptions& options, int64_t d, bool packed) {
  return {.scale = options.scale != 0 ? options.scale : 1 / std::sqrt(static_cast<double>(d)),
          .causal = options.causal,
          .packed = packed};
}

}  // namespace

Var attention(const Var& q, const Var& k, const Var& v, const AttentionOptions& options, const Var& bias) {
  const Tensor& queries = q.data();
  check_attention(queries, k.data(), v.data(), options, bias);
  const AttentionFlags flags = flags_of(options, queries.dim(3), false);
  const Tensor added = data_or_none(bias);
  Tensor y = queries.empty_like(queries.shape().with(-1, v.dim(3)));
  Tensor lse = empty_lse({q.dim(0), q.dim(2), q.dim(1)}, queries);
  kernels::attention_forward(y, lse, queries, k.data(), v.data(), options.key_padding, added, flags);
  const int64_t macs = lse.numel() * k.dim(1) * (q.dim(3) + v.dim(3));
  return record(
      "attention", y, {q, k, v, bias}, Saved{queries, k.data(), v.data(), y, lse, options.key_padding, added},
      [flags](Backward& b) {
        Tensor dq, dk, dv, dbias;
        if (b.wants(0)) dq = b.dx(0);
        if (b.wants(1)) dk = b.dx(1);
        if (b.wants(2)) dv = b.dx(2);
        if (b.wants(3)) dbias = b.dx(3);
        kernels::attention_backward(dq, dk, dv, dbias, b.dy(), b.saved(0), b.saved(1), b.saved(2), b.saved(3),
                                    b.saved(4), b.saved(5), b.saved(6), flags);
      },
      OpInfo{.macs = macs});
}

Var packed_attention(const Var& qkv, int64_t heads, const AttentionOptions& options, const Var& bias) {
  const Shape& shape = qkv.shape();
  LATHE_CHECK(ShapeError, shape.rank() == 3 && heads > 0 && shape[2] % (3 * heads) == 0,
              "packed_attention: needs (N, T, 3 heads d) with ", heads, " heads, found ", shape);
  const int64_t d = shape[2] / 3 / heads;
  const Tensor thirds = qkv.data().view({shape[0], shape[1], 3, heads, d});
  check_padding(options.key_padding, shape[0], shape[1]);
  check_bias(bias, {heads, shape[1], shape[1]}, qkv.dtype());
  const AttentionFlags flags = flags_of(options, d, true);
  const Tensor added = data_or_none(bias);
  Tensor y = thirds.empty_like({shape[0], shape[1], heads * d});
  Tensor lse = empty_lse({shape[0], heads, shape[1]}, thirds);
  kernels::attention_forward(y, lse, thirds, thirds, thirds, options.key_padding, added, flags);
  return record(
      "packed_attention", y, {qkv, bias}, Saved{thirds, y, lse, options.key_padding, added},
      [flags](Backward& b) {
        const Tensor& saved = b.saved(0);
        Tensor gradient, dbias;
        if (b.wants(0)) gradient = b.dx(0).view(saved.shape());
        if (b.wants(1)) dbias = b.dx(1);
        kernels::attention_backward(gradient, gradient, gradient, dbias, b.dy(), saved, saved, saved,
                                    b.saved(1), b.saved(2), b.saved(3), b.saved(4), flags);
      },
      OpInfo{.macs = 2 * lse.numel() * shape[1] * d});
}

}  // namespace lathe
