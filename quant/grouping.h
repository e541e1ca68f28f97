#pragma once
// Which elements of a parameter share a scale, and the order in which groups run over it.

#include <string>

#include "core/fields.h"
#include "layers/parameter.h"
#include "quant/codes.h"

namespace lathe {

/// Groups of consecutive elements. In PyTorch's order a convolution's weight is taken as (out, in, k...),
/// while it is stored as (out, k..., in): ops see a gathered tensor, whose elements are in the order of
/// groups.
struct Grouping {
  int64_t size = 0;            ///< elements of a group, the last may be shorter; 0: all
  bool pytorch_order = false;  ///< set only where the two orders differ

  /// The elements in the order of groups; the tensor itself where that is storage's.
  Var gather(const Var& stored) const;
  /// Back.
  Var scatter(const Var& gathered) const;
  Codes scatter(Codes gathered) const;
};

constexpr const char* kOrderDoc =
    "order in which groups run over a convolution's weight: as it is stored, (out, k..., in), or PyTorch's, "
    "(out, in, k...)";

/// Groups of `group` elements (0: one) in order "storage" or "pytorch".
Grouping grouping_of(const Parameter& parameter, int64_t group, const std::string& order);

/// Which elements share a scale: options of every method.
struct Granularity {
  std::string granularity = "tensor";
  int64_t group = 0;
  std::string order = "storage";
  void fields(FieldVisitor& v);
  /// ConfigError where the elements of a channel are not consecutive.
  Grouping grouping(const Parameter& parameter) const;
};

}  // namespace lathe
