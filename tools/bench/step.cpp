#include "tools/bench/step.h"

#include <algorithm>
#include <vector>

#include "core/kernels/random.h"
#include "models/registry.h"
#include "tools/bench/harness.h"
#include "train/environment.h"
#include "train/model_state.h"
#include "train/optim/optimizer.h"
#include "train/tasks.h"

namespace lathe::bench {
namespace {

Batch random_batch(const Shape& sample, int64_t n, int64_t classes) {
  const Philox philox{1, stream_id("bench"), 0};
  Tensor x = Tensor::empty({n, sample[0], sample[1], sample[2]});
  kernels::fill_normal(x, 1.0, philox);
  Tensor y = Tensor::empty({n}, DType::I64);
  for (int64_t i = 0; i < n; ++i) {
    y.mut<int64_t>()[i] = philox.at(1).below(static_cast<uint64_t>(i), static_cast<uint32_t>(classes));
  }
  return {{x}, {y}, n};
}

}  // namespace

StepResult bench_step(const StepCase& step_case) {
  constexpr int64_t kClasses = 10;
  const FieldPath nowhere;
  const Value section = Value::object({{"type", Value::string(step_case.model)}});
  const std::unique_ptr<Model> model = model_registry().build(section, nowhere, RootOptions{.seed = 1});
  const Value sgd = Value::object({{"type", Value::string("sgd")},
                                   {"lr", Value::real(0.1)},
                                   {"momentum", Value::real(0.9)},
                                   {"weight_decay", Value::real(5e-4)}});
  const std::unique_ptr<Optimizer> optimizer =
      optimizer_registry().build(sgd, nowhere, unique_parameters(*model));
  const Value cross_entropy = Value::object({{"type", Value::string("cross_entropy")}});
  const std::unique_ptr<Task> task = classification_task(loss_registry().build(cross_entropy, nowhere));
  const Batch batch = random_batch(model_input_shape(step_case.model), step_case.batch, kClasses);

  StepResult result;
  const std::vector<double> rates(optimizer->groups().size(), 0.1);
  const auto step = [&] {
    ++model->run().step;
    ++model->run().forward;
    const Var loss = task->loss(*model, batch);
    backward(loss);
    optimizer->step({rates, {}});
    result.loss = loss.data().item();
  };
  step();
  step();
  std::vector<double> seconds;
  for (int64_t i = 0; i < step_case.steps; ++i) seconds.push_back(time_once(step));
  std::sort(seconds.begin(), seconds.end());
  result.ms_best = 1e3 * seconds.front();
  result.ms_median = 1e3 * seconds[seconds.size() / 2];
  result.samples_per_second = static_cast<double>(step_case.batch) / seconds[seconds.size() / 2];
  result.peak_rss_mib = static_cast<double>(peak_rss_bytes()) / (1 << 20);
  return result;
}

}  // namespace lathe::bench
