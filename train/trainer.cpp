#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"
#include "core/math_mode.h"
#include "core/parallel.h"
#include "train/model_state.h"
#include "train/saved_progress.h"

namespace lathe {
namespace {

void check_loss(double loss) {
  LATHE_CHECK(DivergedError, std::isfinite(loss), "the loss is ", loss);
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// A device wants more batches than two threads make of photographs.
int batches_ahead(const TrainerOptions& options, Device device) {
  constexpr int kMost = 8;  // of memory too
  if (options.prefetch == 0 || device.type != DeviceType::Cuda) return options.prefetch;
  return std::max(options.prefetch, std::min(kMost, num_threads()));
}

LoaderOptions training_order(const TrainerOptions& options, Device device) {
  LoaderOptions order;
  order.batch = options.batch;
  order.shuffle = true;
  order.seed = options.seed;
  order.prefetch = batches_ahead(options, device);
  return order;
}

std::unique_ptr<DeviceImages> images_there(const TrainerParts& parts, const TrainOptions& options) {
  const Device device = parts.model.device();
  if (!options.device_augment || device.type != DeviceType::Cuda) return nullptr;
  return parts.train.on_device(device);
}

/// `indices`: the device makes the batches.
LoaderOptions batch_order(const TrainerOptions& options, Device device, bool indices) {
  LoaderOptions order = training_order(options, device);
  order.indices = indices;
  if (indices) order.prefetch = 0;
  return order;
}

LoaderOptions evaluation_order(const TrainerOptions& options, Device device) {
  LoaderOptions order;
  order.batch = options.eval_batch;
  order.prefetch = batches_ahead(options, device);
  return order;
}

}  // namespace

Trainer::Trainer(const TrainerParts& parts, const TrainerOptions& options)
    : parts_(parts),
      options_(options),
      images_(images_there(parts, options.train)),
      loader_(parts.train, batch_order(options, parts.model.device(), images_ != nullptr)),
      device_step_(parts.model, options.train.cuda_graph, images_.get()),
      begin_(now()) {
  progress_.steps_per_epoch = loader_.batches_per_epoch();
  LATHE_CHECK(DataError, progress_.steps_per_epoch > 0, "training: the split has ", parts.train.size(),
              " samples, too few for one batch of ", options.batch);
  progress_.epochs = options.train.epochs;
  progress_.total_steps = progress_.epochs * progress_.steps_per_epoch;
  if (parts.test != nullptr) {
    test_loader_ = std::make_unique<Loader>(*parts.test, evaluation_order(options, parts.model.device()));
  }
  if (options.train.batch_norm_batches > 0) {
    LoaderOptions order = training_order(options, parts.model.device());
    order.shuffle = false;
    statistics_loader_ = std::make_unique<Loader>(parts.train, order);
  }
  quantizers_ = quantizers_of(parts.model);
  activations_ = activation_quantizers_of(parts.model);
  if (options.train.ema) ema_ = std::make_unique<Ema>(parts.model, *options.train.ema);
}

Trainer::~Trainer() = default;

void Trainer::begin_epoch_if_needed() {
  if (progress_.epoch_ended) {
    progress_.epoch_ended = false;
    progress_.step_in_epoch = 0;
    epoch_loss_sum_ = 0;
    epoch_samples_ = 0;
    epoch_seconds_ = 0;
    epoch_timed_samples_ = 0;
    epoch_timed_steps_ = 0;
  }
  if (!epoch_started_) start_epoch(progress_.step_in_epoch);
}

void Trainer::start_epoch(int64_t first) {
  const auto epoch = static_cast<uint32_t>(progress_.epoch);
  loader_.start(epoch, first);
  if (images_) images_->start(epoch);
  epoch_started_ = true;
}

void Trainer::step() {
  LATHE_CHECK(ConfigError, !done(), "trainer: all ", progress_.total_steps, " steps are made");
  begin_epoch_if_needed();
  const double begin = now();
  const bool got_batch = loader_.next(batch_);
  LATHE_ASSERT(got_batch);

  RunState& run = parts_.model.run();
  run.mode = Mode::Train;
  run.step = static_cast<uint32_t>(progress_.step);
  run.first_sample = 0;
  run.activations = options_.train.precision == "bf16" ? DType::BF16 : DType::F32;
  ++run.forward;

  try {
    const MathModeScope math(options_.train.math_mode());
    const Tensor loss = device_step_.run(batch_, run.step, steady(),
                                         [this](const Batch& batch) { return differentiate(batch); });
    if (ema_) ema_->begin_grids();
    device_step_.queue({.step = progress_.step, .samples = batch_.size}, loss);
    const SchedulePoint at{progress_.step, progress_.steps_per_epoch, progress_.total_steps};
    const std::span<const double> rates = parts_.optimizer.rates(parts_.schedule, at);
    for (size_t g = 0; g < rates.size(); ++g) {
      if (!parts_.optimizer.groups()[g].parameters.empty()) progress_.learning_rate = rates[g];
    }
    for (Quantizer* quantizer : quantizers_) quantizer->before_update(moment());
    parts_.optimizer.step({rates, options_.train.clip_norm});
    for (const Tensor& squares : parts_.optimizer.clip_squares())
      device_step_.queue({.kind = StepFigure::Kind::SquaredNorm, .step = progress_.step}, squares);
    for (Quantizer* quantizer : quantizers_) quantizer->after_update();
    for (ActivationQuantizer* quantizer : activations_) quantizer->after_update();
  } catch (const DivergedError& error) {
    parts_.optimizer.drop_gradients();
    diverged(progress_.step, error.what());
  }
  if (ema_) ema_->update();
  settle_figures(progress_.step_in_epoch + 1 == progress_.steps_per_epoch);
  count_step(now() - begin);
}

/// Forward and backward; the gradients are in the parameters.
Tensor Trainer::differentiate(const Batch& batch) const {
  const Var loss = parts_.task.loss(parts_.model, batch);
  if (device_step_.on_host()) check_loss(loss.data().item());  // before anything is spent on it
  backward(with_regularizers(loss));
  return loss.data();
}

/// Every step gives the device the same work, but for numbers that it reads from its own memory.
bool Trainer::steady() const {
  if (!parts_.model.steady()) return false;
  for (const Quantizer* quantizer : quantizers_) {
    if (!quantizer->steady()) return false;
  }
  for (const ActivationQuantizer* quantizer : activations_) {
    if (!quantizer->steady()) return false;
  }
  for (const auto& regularizer : parts_.regularizers) {
    if (!regularizer->steady()) return false;
  }
  return true;
}

/// What is known by now of the steps made, or, with `all`, waited for.
void Trainer::settle_figures(bool all) {
  while (const std::optional<StepFigure> figure = device_step_.next_figure(all)) {
    try {
      if (figure->kind == StepFigure::Kind::Loss) {
        check_loss(figure->value);
      } else {
        check_norm(std::sqrt(figure->value));
      }
    } catch (const DivergedError& error) {
      diverged(figure->step, error.what());
    }
    if (figure->kind == StepFigure::Kind::Loss) count_loss(figure->value, figure->samples);
  }
}

void Trainer::diverged(int64_t step, const char* why) const {
  LATHE_THROW(DivergedError, "diverged at step ", step, " of ", progress_.total_steps, " (epoch ",
              step / progress_.steps_per_epoch + 1, "): ", why);
}

Var Trainer::with_regularizers(const Var& loss) const {
  Var sum = loss;
  for (const auto& regularizer : parts_.regularizers) {
    const Var term = regularizer->term(quantizers_, moment());
    if (term.defined()) sum = add(sum, reshape(term, sum.shape()));
  }
  return sum;
}

void Trainer::count_loss(double loss, int64_t samples) {
  progress_.loss = loss;
  epoch_loss_sum_ += loss * static_cast<double>(samples);
  epoch_samples_ += samples;
  progress_.epoch_loss = epoch_loss_sum_ / static_cast<double>(epoch_samples_);
}

void Trainer::count_step(double seconds) {
  Progress& p = progress_;
  ++p.step;
  ++p.step_in_epoch;
  train_seconds_ += seconds;
  epoch_seconds_ += seconds;
  epoch_timed_samples_ += batch_.size;
  ++epoch_timed_steps_;
  p.samples_per_second = static_cast<double>(epoch_timed_samples_) / std::max(epoch_seconds_, 1e-9);
  p.eta_seconds =
      epoch_seconds_ / static_cast<double>(epoch_timed_steps_) * static_cast<double>(p.total_steps - p.step);
  if (p.step_in_epoch < p.steps_per_epoch) return;
  p.epoch_ended = true;
  ++p.epoch;
  epoch_started_ = false;
  if (!done()) start_epoch(0);  // its first batches are made during the evaluation
}

bool Trainer::evaluation_due() const {
  if (test_loader_ == nullptr || !progress_.epoch_ended) return false;
  const int64_t every = options_.train.eval_epochs;
  return done() || (every > 0 && progress_.epoch % every == 0);
}

EvaluationResult Trainer::evaluate() {
  LATHE_CHECK(ConfigError, test_loader_ != nullptr, "trainer: there is no test split to evaluate");
  settle_figures(true);
  const auto as_evaluated = evaluated();
  const MathModeScope math(options_.train.evaluation_math_mode());
  EvaluationResult result = lathe::evaluate(parts_.model, parts_.task, *test_loader_);
  if (options_.stored_bytes) result.size_bytes = options_.stored_bytes();
  metrics_ = result.metrics;
  return result;
}

std::unique_ptr<Evaluated> Trainer::evaluated() const {
  const MathModeScope math(options_.train.evaluation_math_mode());
  return std::unique_ptr<Evaluated>(new Evaluated{
      UseAverages(ema_.get()),
      UseBatchStatistics(parts_.model, statistics_loader_.get(), options_.train.batch_norm_batches)});
}

/// The last update before it may have spoiled weights that no training loss has seen yet.
void Trainer::check_evaluation(const Metrics& metrics) const {
  const double* loss = find_metric(metrics, "loss");
  if (loss == nullptr || std::isfinite(*loss)) return;
  diverged(progress_.step - 1, concat("the evaluation's loss is ", *loss).c_str());
}

void Trainer::show_metrics_to_schedules() {
  for (Schedule* schedule : schedules()) {
    if (schedule == nullptr || schedule->watches().empty()) continue;
    const double* value = find_metric(metrics_, schedule->watches());
    LATHE_CHECK(ConfigError, value != nullptr, "schedule: there is no metric '", schedule->watches(), "'");
    schedule->observe(*value);
  }
}

std::vector<Schedule*> Trainer::schedules() const {
  std::vector<Schedule*> all = parts_.optimizer.schedules();
  all.insert(all.begin(), &parts_.schedule);
  return all;
}

bool Trainer::stop_requested() const {
  return options_.stop != nullptr && options_.stop->load();
}

void Trainer::run(const std::vector<TrainObserver*>& observers) {
  while (!done()) {
    step();
    progress_.stopping = stop_requested();
    if (progress_.stopping) settle_figures(true);
    for (TrainObserver* observer : observers) observer->on_step(progress_);
    if (progress_.epoch_ended) {
      for (TrainObserver* observer : observers) observer->on_epoch(progress_);
    }
    if (evaluation_due()) {
      const EvaluationResult result = evaluate();
      check_evaluation(result.metrics);
      show_metrics_to_schedules();
      for (TrainObserver* observer : observers) observer->on_evaluation(progress_, result);
    }
    progress_.stopping = stop_requested();  // an evaluation takes a while
    if (progress_.stopping) settle_figures(true);
    for (TrainObserver* observer : observers) observer->on_settled(progress_, *this);
    LATHE_CHECK(InterruptedError, !progress_.stopping || done(), "stopped after step ", progress_.step,
                " of ", progress_.total_steps);
  }
}

Checkpoint Trainer::state() const {
  LATHE_ASSERT(!device_step_.figures_pending());
  SavedProgress saved{.steps_per_epoch = progress_.steps_per_epoch,
                      .epoch = progress_.epoch,
                      .epoch_samples = epoch_samples_,
                      .epoch_loss_sum = epoch_loss_sum_,
                      .train_seconds = train_seconds_,
                      .seconds = seconds()};
  for (const Schedule* schedule : schedules()) {
    saved.schedules.push_back(schedule == nullptr ? Value() : schedule->state());
  }
  for (const Metric& metric : metrics_) saved.metrics.set(metric.name, Value::real(metric.value));
  Checkpoint checkpoint;
  checkpoint.state.step = progress_.step;
  checkpoint.state.seed = static_cast<int64_t>(options_.seed);
  checkpoint.state.progress = write_fields(std::move(saved));
  checkpoint.model = model_state(parts_.model);
  checkpoint.optimizer = parts_.optimizer.state();
  if (ema_) checkpoint.ema = ema_->state();
  if (statistics_loader_ && progress_.step > 0) checkpoint.evaluated = evaluated()->statistics.state();
  return checkpoint;
}

void Trainer::check_fits(const CheckpointState& state, int64_t steps_per_epoch, size_t states) const {
  LATHE_CHECK(FormatError, state.step <= progress_.total_steps, "state.json: step ", state.step,
              " is outside a run of ", progress_.total_steps, " steps");
  LATHE_CHECK(FormatError, steps_per_epoch == progress_.steps_per_epoch, "state.json: ", steps_per_epoch,
              " steps an epoch, the run has ", progress_.steps_per_epoch);
  LATHE_CHECK(FormatError, static_cast<uint64_t>(state.seed) == options_.seed, "state.json: seed ",
              state.seed, ", the run has ", options_.seed);
  LATHE_CHECK(FormatError, states == parts_.optimizer.groups().size() + 1, "state.json: ", states,
              " states of schedules, expected ", parts_.optimizer.groups().size() + 1);
}

void Trainer::restore(const Checkpoint& checkpoint) try {
  const SavedProgress saved = read_progress(checkpoint.state.progress);
  check_fits(checkpoint.state, saved.steps_per_epoch, saved.schedules.items().size());
  load_model_state(parts_.model, checkpoint.model);
  device_step_.forget();
  parts_.optimizer.restore(checkpoint.optimizer);
  LATHE_CHECK(FormatError, checkpoint.ema.empty() == (ema_ == nullptr), "ema: averages ",
              ema_ ? "are missing" : "are there, but the run has none");
  if (ema_) ema_->restore(checkpoint.ema);
  const std::vector<Schedule*> all = schedules();
  for (size_t i = 0; i < all.size(); ++i) {
    const Value& one = saved.schedules.items()[i];
    if (all[i] != nullptr && !one.is(Value::Type::Null)) all[i]->restore(one);
  }
  metrics_ = saved.latest_metrics();
  progress_.step = checkpoint.state.step;
  progress_.epoch = progress_.step / progress_.steps_per_epoch;
  progress_.step_in_epoch = progress_.step % progress_.steps_per_epoch;
  progress_.epoch_ended = false;
  epoch_started_ = false;
  const bool inside = progress_.step_in_epoch > 0;
  epoch_loss_sum_ = inside ? saved.epoch_loss_sum : 0;
  epoch_samples_ = inside ? saved.epoch_samples : 0;
  train_seconds_ = saved.train_seconds;
  earlier_seconds_ = saved.seconds;
  begin_ = now();
} catch (const ConfigError& error) {  // of a state that says something else than we write
  throw FormatError(error.what());
}

double Trainer::seconds() const {
  return earlier_seconds_ + now() - begin_;
}

}  // namespace lathe
