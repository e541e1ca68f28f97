#pragma once
// Numbers that change from step to step, as kernels see them: plain values in an eager step, device memory in
// a captured one, where a constant would repeat one step for ever.

#include "core/hd.h"
#include "core/philox.h"
#include "core/tensor.h"

namespace lathe::cuda {

/// A generator whose step may stand in device memory.
struct StepPhilox {
  Philox philox;
  const uint32_t* step = nullptr;  ///< null: philox.step holds

  LATHE_HD Philox get() const { return step == nullptr ? philox : philox.at(*step); }
};

/// A number, or a struct of numbers, that may stand in device memory.
template <class T>
struct StepValue {
  T value{};
  const T* at = nullptr;  ///< null: `value` holds

  LATHE_HD T get() const { return at == nullptr ? value : *at; }
};

/// While a step is captured, a generator of that step reads the step from device memory.
StepPhilox step_philox(const Philox& philox);

/// While alive, generators of step `value` read their step from `step` (one i32 element on the device).
class RecordedStep {
 public:
  RecordedStep(Tensor& step, uint32_t value);
  RecordedStep(const RecordedStep&) = delete;
  RecordedStep& operator=(const RecordedStep&) = delete;
  ~RecordedStep();
};

/// Writes `step` on the compute stream.
void set_step(Tensor& step, uint32_t value);

}  // namespace lathe::cuda
