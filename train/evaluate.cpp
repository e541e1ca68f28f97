#include "train/evaluate.h"

#include <chrono>

#include "core/hash.h"

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

}  // namespace

EvaluationResult evaluate(Model& model, const Task& task, Loader& loader, const EvaluateOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  const EvaluationMode mode(model);
  const std::unique_ptr<Evaluation> evaluation = task.evaluation();
  EvaluationResult result;
  Hash hash;
  Batch batch;
  loader.start(0);
  while (loader.next(batch)) {
    const Tensor output = task.output(model, batch.to(model.device())).data().to(Device::cpu());
    evaluation->add(Var(output), batch);  // metrics are the host's, the same for every device
    if (options.hash) hash.add({output.raw(), output.bytes()});
    if (options.on_output) options.on_output(output);
    result.samples += batch.size;
  }
  result.metrics = evaluation->result();
  result.counts = evaluation->counts();
  QuantDiagnosis diagnosis = diagnose_quantizers(model);
  result.quantized = summarize_quantizers(diagnosis);
  result.warnings = std::move(diagnosis.warnings);
  if (options.hash) result.logits_hash = hash.hex();
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

}  // namespace lathe
