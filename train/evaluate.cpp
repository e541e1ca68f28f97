#include "train/evaluate.h"

#include <chrono>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace lathe {
namespace {

/// Evaluation mode while this lives; one forward.
class EvaluationMode {
 public:
  explicit EvaluationMode(Model& model) : run_(model.run()), previous_(run_.mode) {
    run_.mode = Mode::Eval;
    run_.first_sample = 0;
    ++run_.forward;
  }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;
  ~EvaluationMode() { run_.mode = previous_; }

 private:
  RunState& run_;
  Mode previous_;
  NoGrad no_grad_;
};

class OutputHash {
 public:
  OutputHash() { XXH64_reset(&state_, 0); }
  void add(const Tensor& output) {
    const Tensor host = output.to(Device::cpu());
    XXH64_update(&state_, host.raw(), host.bytes());
  }
  std::string text() const {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string digits(16, '0');
    uint64_t hash = XXH64_digest(&state_);
    for (size_t i = digits.size(); i-- > 0; hash >>= 4) digits[i] = kDigits[hash & 15];
    return digits;
  }

 private:
  XXH64_state_t state_;
};

}  // namespace

EvaluationResult evaluate(Model& model, const Task& task, Loader& loader, const EvaluateOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  const EvaluationMode mode(model);
  const std::unique_ptr<Evaluation> evaluation = task.evaluation();
  EvaluationResult result;
  OutputHash hash;
  Batch batch;
  loader.start(0);
  while (loader.next(batch)) {
    const Var output = model.forward(batch);
    evaluation->add(output, batch);
    if (options.hash) hash.add(output.data());
    if (options.on_output) options.on_output(output.data());
    result.samples += batch.size;
  }
  result.metrics = evaluation->result();
  if (options.hash) result.logits_hash = hash.text();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

EvaluationResult evaluate(Model& model, const Task& task, const Dataset& dataset, int64_t batch,
                          const EvaluateOptions& options) {
  LoaderOptions loading;
  loading.batch = batch;
  Loader loader(dataset, loading);
  return evaluate(model, task, loader, options);
}

int64_t count_macs(Model& model, const Dataset& dataset) {
  LATHE_CHECK(DataError, dataset.size() > 0, "count_macs: the data set has no samples");
  Batch batch = dataset.allocate(1);
  batch.size = 1;
  dataset.load(0, 0, batch, 0);
  const EvaluationMode mode(model);
  const OpLog log;
  model.forward(batch);
  int64_t macs = 0;
  for (const OpCall& call : log.calls()) macs += call.info.macs;
  return macs;
}

}  // namespace lathe
