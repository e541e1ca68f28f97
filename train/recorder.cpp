#include "train/recorder.h"

#include "train/trainer.h"

namespace lathe {
namespace {

Value event(const char* name, const Progress& progress) {
  return Value::object({{"event", Value::string(name)},
                        {"step", Value::integer(progress.step)},
                        {"epoch", Value::integer(progress.epoch)},
                        {"time", Value::real(unix_time())}});
}

}  // namespace

RunRecorder::RunRecorder(const RunFolder& folder, Options options)
    : folder_(folder),
      options_(std::move(options)),
      metrics_(folder.paths().metrics(), options_.first_step) {}

void RunRecorder::on_epoch(const Progress& progress) {
  Value line = event("epoch", progress);
  line.set("loss", Value::real(progress.epoch_loss));
  line.set("lr", Value::real(progress.learning_rate));
  line.set("samples_per_second", Value::real(progress.samples_per_second));
  metrics_.append(line);
  folder_.log(concat("epoch ", progress.epoch, " of ", progress.epochs, ": training loss ",
                     progress.epoch_loss, ", ", progress.samples_per_second, " samples/s"));
  folder_.set_status("running", progress.step);
}

void RunRecorder::on_evaluation(const Progress& progress, const EvaluationResult& result) {
  Value line = event("eval", progress);
  std::string text = concat("evaluation after epoch ", progress.epoch, ":");
  for (const Metric& metric : result.metrics) {
    line.set(metric.name, Value::real(metric.value));
    text += concat(" ", metric.name, " ", metric.value);
  }
  if (result.quantized) {
    line.set("avg_bits", Value::real(result.quantized->avg_bits));
    line.set("sparsity", Value::real(result.quantized->sparsity));
    text += concat(" avg_bits ", result.quantized->avg_bits, " sparsity ", result.quantized->sparsity);
    if (result.quantized->oscillating) {
      line.set("oscillating", Value::real(*result.quantized->oscillating));
      text += concat(" oscillating ", *result.quantized->oscillating);
    }
  }
  if (result.size_bytes > 0) {
    line.set("size_bytes", Value::integer(result.size_bytes));
    text += concat(" size_bytes ", result.size_bytes);
  }
  line.set("samples", Value::integer(result.samples));
  line.set("seconds", Value::real(result.seconds));
  metrics_.append(line);
  folder_.log(text);
  for (const std::string& warning : result.warnings) folder_.log("warning: " + warning);
}

void RunRecorder::on_settled(const Progress& progress, const Trainer& trainer) {
  const int64_t every = options_.output.checkpoint_epochs;
  const bool due = progress.epoch_ended && every > 0 && progress.epoch % every == 0;
  if (!due && !progress.done() && !progress.stopping) return;
  metrics_.sync();
  Checkpoint checkpoint = trainer.state();
  checkpoint.state.experiment = options_.experiment;
  const std::filesystem::path path =
      write_checkpoint(folder_.paths().checkpoints(), checkpoint, options_.output.keep);
  folder_.log(concat("checkpoint ", path.filename().string()));
  for (TrainObserver* other : options_.others) other->on_checkpoint(progress, path.string());
}

}  // namespace lathe
