#include "cuda/step.h"

namespace lathe::cuda {

StepPhilox step_philox(const Philox& philox) {
  return {philox, nullptr};
}

}  // namespace lathe::cuda
