#include "autograd/ops/shape.h"

#include "core/kernels/elementwise.h"
#include "core/kernels/shape.h"

namespace lathe {
namespace {

std::vector<int> inverse(const std::vector<int>& axes) {
  std::vector<int> back(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) back[static_cast<size_t>(axes[i])] = static_cast<int>(i);
  return back;
}

Tensor permuted(const Tensor& x, const std::vector<int>& axes) {
  std::vector<int64_t> dims;
  for (const int axis : axes) dims.push_back(x.dim(axis));
  Tensor y = x.empty_like(Shape(std::span<const int64_t>(dims)));
  kernels::permute(y, x, axes);
  return y;
}

}  // namespace

Var reshape(const Var& x, const Shape& shape) {
  LATHE_CHECK(ShapeError, shape.numel() == x.data().numel(), "reshape: shape ", shape, " has ", shape.numel(),
              " elements, the input of shape ", x.shape(), " has ", x.data().numel());
  return record("reshape", x.data().view(shape), {x}, {},
                [](Backward& b) { b.pass(0, b.dy().view(b.input_shape(0))); });
}

Var permute(const Var& x, const std::vector<int>& axes) {
  LATHE_CHECK(ShapeError, static_cast<int>(axes.size()) == x.shape().rank(), "permute: ", axes.size(),
              " axes for shape ", x.shape());
  std::vector<int> order;
  unsigned seen = 0;
  for (const int i : axes) {
    order.push_back(x.shape().axis(i));
    LATHE_CHECK(ShapeError, (seen >> order.back() & 1) == 0, "permute: axis ", i, " of shape ", x.shape(),
                " is given twice");
    seen |= 1u << order.back();
  }
  return record("permute", permuted(x.data(), order), {x}, {},
                [order](Backward& b) { b.pass(0, permuted(b.dy(), inverse(order))); });
}

Var concat(const std::vector<Var>& parts, int axis) {
  LATHE_CHECK(ShapeError, !parts.empty(), "concat: nothing to concatenate");
  const Shape& first = parts[0].shape();
  axis = first.axis(axis);
  int64_t total = 0;
  for (const Var& part : parts) {
    LATHE_CHECK(ShapeError,
                part.shape().rank() == first.rank() && part.shape().with(axis, first[axis]) == first,
                "concat: shapes ", first, " and ", part.shape(), " differ outside axis ", axis);
    LATHE_CHECK(DTypeError, part.dtype() == parts[0].dtype(),
                "concat: element types differ: ", parts[0].dtype(), " and ", part.dtype());
    total += part.dim(axis);
  }
  Tensor y = parts[0].data().empty_like(first.with(axis, total));
  int64_t at = 0;
  for (const Var& part : parts) {
    kernels::copy_axis(y, part.data(), {.axis = axis, .count = part.dim(axis), .y_begin = at});
    at += part.dim(axis);
  }
  const int count = static_cast<int>(parts.size());
  return record("concat", std::move(y), parts, {}, [axis, count](Backward& b) {
    int64_t begin = 0;
    for (int i = 0; i < count; ++i) {
      const int64_t extent = b.input_shape(i)[axis];
      if (b.wants(i)) kernels::copy_axis(b.dx(i), b.dy(), {.axis = axis, .count = extent, .x_begin = begin});
      begin += extent;
    }
  });
}

Var slice(const Var& x, int axis, int64_t begin, int64_t end, int64_t step) {
  axis = x.shape().axis(axis);
  if (end == -1) end = x.dim(axis);
  LATHE_CHECK(ShapeError, 0 <= begin && begin <= end && end <= x.dim(axis) && step >= 1, "slice: [", begin,
              ", ", end, ") step ", step, " of axis ", axis, " of shape ", x.shape());
  const int64_t count = (end - begin + step - 1) / step;
  Tensor y = x.data().empty_like(x.shape().with(axis, count));
  kernels::copy_axis(y, x.data(), {.axis = axis, .count = count, .x_begin = begin, .x_step = step});
  return record("slice", std::move(y), {x}, {}, [axis, begin, count, step](Backward& b) {
    kernels::fill(b.dx(0), 0);
    kernels::copy_axis(b.dx(0), b.dy(), {.axis = axis, .count = count, .y_begin = begin, .y_step = step});
  });
}

Var pad(const Var& x, const PadOptions& options) {
  const int axis = x.shape().axis(options.axis);
  const int64_t n = x.dim(axis), before = options.before, after = options.after;
  const bool replicate = options.mode == PadMode::Replicate;
  LATHE_CHECK(ShapeError, before >= 0 && after >= 0, "pad: negative extents ", before, " and ", after);
  LATHE_CHECK(ShapeError, !replicate || n > 0, "pad: axis ", axis, " of shape ", x.shape(),
              " has no edge to replicate");
  Tensor y = x.data().empty_like(x.shape().with(axis, before + n + after));
  if (replicate) {
    kernels::copy_axis(y, x.data(), {.axis = axis, .count = before, .x_step = 0});
    kernels::copy_axis(y, x.data(),
                       {.axis = axis, .count = after, .y_begin = before + n, .x_begin = n - 1, .x_step = 0});
  } else {
    kernels::fill(y, options.value);
  }
  kernels::copy_axis(y, x.data(), {.axis = axis, .count = n, .y_begin = before});
  return record("pad", std::move(y), {x}, {}, [axis, before, after, n, replicate](Backward& b) {
    kernels::copy_axis(b.dx(0), b.dy(), {.axis = axis, .count = n, .x_begin = before});
    if (!replicate) return;
    kernels::add_axis(b.dx(0), b.dy(), {.axis = axis, .count = before, .y_step = 0});
    kernels::add_axis(b.dx(0), b.dy(),
                      {.axis = axis, .count = after, .y_begin = n - 1, .y_step = 0, .x_begin = before + n});
  });
}

Var option_a_shortcut(const Var& x, int64_t stride, int64_t channels) {
  LATHE_CHECK(ShapeError, x.shape().rank() == 4, "option_a_shortcut: expected (N, H, W, C), found ",
              x.shape());
  LATHE_CHECK(ShapeError, stride >= 1 && channels >= x.dim(3), "option_a_shortcut: stride ", stride, " and ",
              channels, " channels for an input of ", x.dim(3), " channels");
  const int64_t oh = (x.dim(1) + stride - 1) / stride, ow = (x.dim(2) + stride - 1) / stride;
  Tensor y = x.data().empty_like({x.dim(0), oh, ow, channels});
  kernels::option_a_forward(y, x.data(), stride);
  return record("option_a_shortcut", std::move(y), {x}, {},
                [stride](Backward& b) { kernels::option_a_backward(b.dx(0), b.dy(), stride); });
}

}  // namespace lathe
