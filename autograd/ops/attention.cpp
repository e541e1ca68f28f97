#include "autograd/ops/attention.h"

#include <cmath>

#include "core/kernels/attention.h"

namespace lathe {
namespace {

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
  const Tensor& padding = options.key_padding;
  if (padding.defined()) {
    LATHE_CHECK(ShapeError, padding.shape() == Shape({k.dim(0), k.dim(1)}), "attention: key padding is ",
                padding.shape(), ", keys are ", k.shape());
    LATHE_CHECK(DTypeError, padding.dtype() == DType::U8, "attention: key padding is ", padding.dtype(),
                ", expected u8");
  }
  if (bias.defined()) {
    const Shape wanted{q.dim(2), q.dim(1), k.dim(1)};
    LATHE_CHECK(ShapeError, bias.shape() == wanted, "attention: bias is ", bias.shape(), ", expected ",
                wanted);
    LATHE_CHECK(DTypeError, bias.dtype() == q.dtype(), "attention: bias is ", bias.dtype(), ", q ",
                q.dtype());
  }
}

}  // namespace

Var attention(const Var& q, const Var& k, const Var& v, const AttentionOptions& options, const Var& bias) {
  const Tensor& queries = q.data();
  check_attention(queries, k.data(), v.data(), options, bias);
  const double d = static_cast<double>(queries.dim(3));
  const AttentionFlags flags{.scale = options.scale != 0 ? options.scale : 1 / std::sqrt(d),
                             .causal = options.causal};
  const Tensor added = bias.defined() ? bias.data() : Tensor();
  Tensor y = queries.empty_like(queries.shape().with(-1, v.dim(3)));
  const DType statistic = queries.dtype() == DType::BF16 ? DType::F32 : queries.dtype();
  Tensor lse = Tensor::empty({q.dim(0), q.dim(2), q.dim(1)}, statistic, queries.device());
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

}  // namespace lathe
