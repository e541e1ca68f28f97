#include "core/dispatch.h"
#include "cuda/device.cuh"
#include "cuda/step.h"

namespace lathe::cuda {
namespace {

struct Recording {
  const uint32_t* where = nullptr;
  uint32_t step = 0;
};
thread_local Recording recording;

__global__ void write_word(uint32_t* to, uint32_t word) {
  *to = word;
}

}  // namespace

StepPhilox step_philox(const Philox& philox) {
  if (recording.where == nullptr) return {philox, nullptr};
  LATHE_CHECK(NotImplementedError, philox.step == recording.step, "a generator of step ", philox.step,
              " in a recorded step ", recording.step, ": it would draw the same numbers in every launch");
  return {philox, recording.where};
}

RecordedStep::RecordedStep(Tensor& step, uint32_t value) {
  LATHE_ASSERT(recording.where == nullptr);
  const detail::DeviceScope scope(step.device());
  recording = {reinterpret_cast<const uint32_t*>(step.mut<int32_t>()), value};
}

RecordedStep::~RecordedStep() {
  recording = {};
}

void set_step(Tensor& step, uint32_t value) {
  const detail::DeviceScope scope(step.device());
  LaunchShape one;
  one.block = dim3(1);
  launch(write_word, one, reinterpret_cast<uint32_t*>(step.mut<int32_t>()), value);
}

}  // namespace lathe::cuda
