#pragma once
// A step that was given to a CUDA device once and is given to it again as a whole: small networks are bound
// by the time that launches take.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/dtype.h"

namespace lathe {

/// Tensors made while the step is recorded keep their memory as long as the graph lives: a launch writes
/// them anew. Whatever the host decided while it recorded is repeated as it was, but for one number: random
/// generators of the recorded step draw as generators of the step that is launched.
class StepGraph {
 public:
  /// Records what `work` gives to the compute stream; none of it runs. `step` is the step of the generators
  /// that `work` uses. CudaError when something in it cannot be recorded (a wait for the device, say).
  static std::unique_ptr<StepGraph> record(Device device, uint32_t step, const std::function<void()>& work);
  virtual ~StepGraph() = default;
  /// Gives the recorded work to the device, as step `step`.
  virtual void launch(uint32_t step) = 0;
  /// Kernels, copies and fills in it.
  virtual int64_t nodes() const = 0;
  /// Memory that its tensors took at most at once: the graph's own, in no device's statistics.
  virtual size_t bytes() const = 0;
};

}  // namespace lathe
