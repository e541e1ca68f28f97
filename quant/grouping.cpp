#include "quant/grouping.h"

#include <numeric>

#include "autograd/ops/shape.h"
#include "core/error.h"

namespace lathe {
namespace {

/// From (out, k..., in) to (out, in, k...).
std::vector<int> to_pytorch(int rank) {
  std::vector<int> axes(static_cast<size_t>(rank));
  std::iota(axes.begin(), axes.end(), -1);
  axes[0] = 0;
  axes[1] = rank - 1;
  return axes;
}

std::vector<int> to_storage(int rank) {
  std::vector<int> axes(static_cast<size_t>(rank));
  std::iota(axes.begin(), axes.end(), 1);
  axes[0] = 0;
  axes.back() = 1;
  return axes;
}

}  // namespace

Var Grouping::gather(const Var& stored) const {
  return pytorch_order ? permute(stored, to_pytorch(stored.shape().rank())) : stored;
}

Var Grouping::scatter(const Var& gathered) const {
  return pytorch_order ? permute(gathered, to_storage(gathered.shape().rank())) : gathered;
}

Codes Grouping::scatter(Codes gathered) const {
  gathered.integers = scatter(Var(gathered.integers)).data();
  gathered.pytorch_order = pytorch_order;
  return gathered;
}

Grouping grouping_of(const Parameter& parameter, int64_t group, const std::string& order) {
  const Shape& shape = parameter.shape();
  const bool convolution = parameter.axes() != Axes::Plain && shape.rank() > 2 && shape.numel() > 0;
  const bool differs = convolution && shape[-1] > 1 && shape.numel() > shape[0] * shape[-1];
  return {group, group > 0 && order == "pytorch" && differs};
}

void Granularity::fields(FieldVisitor& v) {
  v.visit("granularity", granularity,
          {.doc = "what shares a scale: the tensor, an output channel, or `group` consecutive elements",
           .choices = {"tensor", "channel", "group"}});
  v.visit("group", group,
          {.doc = "elements of a group, the last may be shorter; 0: not in groups", .min = 0});
  v.visit("order", order, {.doc = kOrderDoc, .choices = {"storage", "pytorch"}});
}

Grouping Granularity::grouping(const Parameter& parameter) const {
  LATHE_CHECK(ConfigError, (granularity == "group") == (group > 0), "granularity '", granularity,
              "' with group ", group, ": expected granularity 'group' and a group of at least 1, or neither");
  if (granularity == "group") return grouping_of(parameter, group, order);
  if (granularity == "tensor") return {};
  LATHE_CHECK(ConfigError, parameter.axes() != Axes::ConvTranspose,
              "granularity 'channel': the output channels of ", parameter.path(),
              " are not consecutive (a transposed convolution)");
  return {parameter.numel() / parameter.shape()[0]};
}

}  // namespace lathe
