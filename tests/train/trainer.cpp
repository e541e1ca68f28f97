#include "train/trainer.h"

#include <cmath>
#include <cstring>

#include <doctest/doctest.h>

#include "core/allocator.h"
#include "core/json.h"
#include "core/parallel.h"
#include "core/philox.h"
#include "data/tensor_set.h"
#include "models/registry.h"

TEST_SUITE_BEGIN("train");

namespace lathe {
namespace {

/// Points on the sphere, labelled by their octant's parity: not linear, learnt quickly.
TensorSet octants(int64_t n, const char* split) {
  Tensor input = Tensor::empty({n, 1, 1, 3});
  Tensor target = Tensor::empty({n}, DType::I64);
  const Philox random{7, stream_id(split), 0};
  for (int64_t i = 0; i < n; ++i) {
    int64_t parity = 0;
    for (int64_t k = 0; k < 3; ++k) {
      const float x = random.uniform(static_cast<uint64_t>(3 * i + k)) * 2 - 1;
      input.mut<float>()[3 * i + k] = x;
      parity ^= x > 0 ? 1 : 0;
    }
    target.mut<int64_t>()[i] = parity;
  }
  return TensorSet(input, target, {.split = split, .classes = 2});
}

TrainOptions lasting(int64_t epochs, std::optional<double> ema = {}) {
  TrainOptions options;
  options.epochs = epochs;
  options.clip_norm = 1.0;
  options.ema = ema;
  return options;
}

struct Setup {
  const char* optimizer = R"({"type": "sgd", "lr": 0.2, "momentum": 0.9, "nesterov": true})";
  const char* schedule = R"({"type": "cosine", "warmup_steps": 3})";
  TrainOptions train = lasting(3, 0.9);
  int prefetch = 2;
  const std::atomic<bool>* stop = nullptr;
};

Value section(const char* text) {
  return parse_json(text, "test");
}

/// A trainer with all that it needs.
struct Bench {
  explicit Bench(const Setup& setup = {})
      : train(octants(70, "train")),
        test(octants(40, "test")),
        model(model_registry().build(
            section(R"({"type": "mlp", "input": [1, 1, 3], "hidden": [16], "classes": 2})"), {},
            RootOptions{.seed = 3})),
        task(classification_task(loss_registry().build(section(R"({"type": "cross_entropy"})"), {}))),
        optimizer(optimizer_registry().build(section(setup.optimizer), {}, model->parameters())),
        schedule(schedule_registry().build(section(setup.schedule), {})),
        trainer({*model, *task, *optimizer, *schedule, train, &test}, options(setup)) {}

  static TrainerOptions options(const Setup& setup) {
    TrainerOptions options;
    options.train = setup.train;
    options.batch = 16;
    options.eval_batch = 32;
    options.seed = 5;
    options.prefetch = setup.prefetch;
    options.stop = setup.stop;
    return options;
  }

  TensorSet train, test;
  std::unique_ptr<Model> model;
  std::unique_ptr<Task> task;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Schedule> schedule;
  Trainer trainer;
};

std::vector<NamedTensor> deep_copy(const std::vector<NamedTensor>& tensors) {
  std::vector<NamedTensor> copies;
  for (const NamedTensor& one : tensors) copies.push_back({one.name, one.tensor.clone()});
  return copies;
}

Checkpoint deep_copy(const Checkpoint& state) {
  Checkpoint copy = state;
  copy.model = deep_copy(state.model);
  copy.optimizer = deep_copy(state.optimizer);
  copy.ema = deep_copy(state.ema);
  copy.state.progress = parse_json(to_json(state.state.progress), "state");
  return copy;
}

bool same_bits(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const Tensor &x = a[i].tensor, &y = b[i].tensor;
    if (a[i].name != b[i].name || x.shape() != y.shape()) return false;
    if (std::memcmp(x.raw(), y.raw(), x.bytes()) != 0) return false;
  }
  return true;
}

bool same_bits(const Checkpoint& a, const Checkpoint& b) {
  return same_bits(a.model, b.model) && same_bits(a.optimizer, b.optimizer) && same_bits(a.ema, b.ema);
}

struct Events : TrainObserver {
  void on_step(const Progress& p) override {
    steps.push_back(p.step);
    losses.push_back(p.loss);
    rates.push_back(p.learning_rate);
  }
  void on_epoch(const Progress& p) override { epoch_losses.push_back(p.epoch_loss); }
  void on_evaluation(const Progress&, const EvaluationResult& result) override {
    top1.push_back(*find_metric(result.metrics, "top1"));
    CHECK(result.samples == 40);
  }
  void on_settled(const Progress&, const Trainer&) override { ++settled; }
  std::vector<int64_t> steps;
  std::vector<double> losses, rates, epoch_losses, top1;
  int settled = 0;
};

}  // namespace

TEST_CASE("a run steps, evaluates and tells its observers in order") {
  Bench bench({.train = lasting(40)});
  Events events;
  bench.trainer.run({&events});
  CHECK(bench.trainer.done());
  CHECK(bench.trainer.progress().steps_per_epoch == 5);  // 70 samples in batches of 16, the last one of 6
  REQUIRE(events.steps.size() == 200);
  CHECK(events.steps.front() == 1);
  CHECK(events.steps.back() == 200);
  CHECK(events.epoch_losses.size() == 40);
  CHECK(events.top1.size() == 40);
  CHECK(events.settled == 200);
  CHECK(events.rates[0] == doctest::Approx(0.2 / 4));
  CHECK(events.rates[3] == 0.2);
  CHECK(events.epoch_losses.front() > 0.6);
  CHECK(events.epoch_losses.back() < 0.3);
  CHECK(events.top1.back() > 0.6);  // chance is 0.5
  CHECK_THROWS_AS(bench.trainer.step(), ConfigError);
}

TEST_CASE("an epoch's loss is the mean over its samples") {
  Bench bench;
  Events events;
  bench.trainer.run({&events});
  double sum = 0;
  for (size_t i = 0; i < 5; ++i) sum += events.losses[i] * (i < 4 ? 16 : 6);
  CHECK(events.epoch_losses[0] == doctest::Approx(sum / 70).epsilon(1e-12));
}

TEST_CASE("resumed at any step, in the middle of an epoch or at its end, the bits are those of one run") {
  Bench whole;
  whole.trainer.run({});
  const Checkpoint expected = whole.trainer.state();
  CHECK_FALSE(same_bits(expected.model, expected.ema));
  for (const int64_t cut : {0, 1, 5, 7, 10, 14, 15}) {
    Bench first;
    while (first.trainer.progress().step < cut) first.trainer.step();
    const Checkpoint saved = deep_copy(first.trainer.state());
    Bench second;
    second.trainer.restore(saved);
    CHECK(second.trainer.progress().step == cut);
    second.trainer.run({});
    CHECK_MESSAGE(same_bits(second.trainer.state(), expected), "cut at step ", cut);
  }
}

TEST_CASE("one, two and three threads give the same bits") {
  const int before = num_threads();
  std::vector<Checkpoint> states;
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    Bench bench({.optimizer = R"({"type": "adamw", "lr": 0.01})", .prefetch = threads - 1});
    bench.trainer.run({});
    states.push_back(deep_copy(bench.trainer.state()));
  }
  set_num_threads(before);
  CHECK(same_bits(states[0], states[1]));
  CHECK(same_bits(states[0], states[2]));
}

TEST_CASE("a state that does not fit is refused") {
  Bench bench;
  Checkpoint state = deep_copy(bench.trainer.state());
  CHECK_NOTHROW(bench.trainer.restore(state));
  Checkpoint bad = state;
  bad.model.pop_back();
  CHECK_THROWS_AS(bench.trainer.restore(bad), FormatError);
  bad = state;
  bad.ema.clear();
  CHECK_THROWS_AS(bench.trainer.restore(bad), FormatError);
  bad = state;
  bad.state.step = 16;
  CHECK_THROWS_AS(bench.trainer.restore(bad), FormatError);
  bad = state;
  bad.state.progress.set("schedules", Value::array());
  CHECK_THROWS_AS(bench.trainer.restore(bad), FormatError);
  for (const char* key : {"seconds", "epoch_samples", "schedules", "metrics"}) {
    CAPTURE(std::string(key));
    bad = state;
    bad.state.progress.set(key, Value());
    std::string message;
    try {
      bench.trainer.restore(bad);
    } catch (const FormatError& error) {
      message = error.what();
    }
    CHECK(message.find("state.json: progress.") == 0);
    CHECK(message.find(concat(key, ": expected a")) != std::string::npos);
  }
}

TEST_CASE("metrics that JSON has no number for come back as no number") {
  Bench bench;
  bench.trainer.step();
  bench.trainer.evaluate();
  Checkpoint state = deep_copy(bench.trainer.state());
  const Value latest = Value::object({{"loss", Value::real(0.5)}, {"sdr", Value::real(-INFINITY)}});
  state.state.progress.set("metrics", latest);
  state = deep_copy(state);  // through JSON
  Bench other;
  other.trainer.restore(state);
  REQUIRE(other.trainer.metrics().size() == 2);
  CHECK(*find_metric(other.trainer.metrics(), "loss") == 0.5);
  CHECK(std::isnan(*find_metric(other.trainer.metrics(), "sdr")));
  CHECK(deep_copy(other.trainer.state()).state.progress.find("metrics")->find("sdr")->is(Value::Type::Null));
}

TEST_CASE("averages: the formula, evaluation with them, and the weights back in place") {
  Bench bench({.train = lasting(1, 0.75)});
  const std::vector<NamedTensor> start = deep_copy(bench.trainer.state().model);
  bench.trainer.step();
  const Checkpoint state = bench.trainer.state();
  REQUIRE(state.ema.size() == start.size());
  for (size_t i = 0; i < start.size(); ++i) {
    for (int64_t k = 0; k < start[i].tensor.numel(); ++k) {
      const double expected =
          0.75 * start[i].tensor.ptr<float>()[k] + 0.25 * state.model[i].tensor.ptr<float>()[k];
      CHECK(state.ema[i].tensor.ptr<float>()[k] == doctest::Approx(expected).epsilon(1e-5));
    }
  }
  const Checkpoint before = deep_copy(state);
  const double with_averages = bench.trainer.evaluate().metrics[0].value;
  CHECK(same_bits(bench.trainer.state(), before));
  const double raw = evaluate(*bench.model, *bench.task, bench.test, 32).metrics[0].value;
  CHECK(with_averages != raw);
  bench.trainer.ema()->swap();
  CHECK(evaluate(*bench.model, *bench.task, bench.test, 7).metrics[0].value ==
        doctest::Approx(with_averages).epsilon(1e-6));
}

TEST_CASE("evaluation: mode restored, one forward counted, the hash sees every output") {
  Bench bench;
  RunState& run = bench.model->run();
  const uint64_t forward = run.forward;
  const EvaluationResult a = evaluate(*bench.model, *bench.task, bench.test, 16, {.hash = true});
  CHECK(run.forward == forward + 1);
  CHECK(run.mode == Mode::Train);
  CHECK(a.logits_hash.size() == 16);
  int64_t rows = 0;
  const EvaluationResult b =
      evaluate(*bench.model, *bench.task, bench.test, 16,
               {.hash = true, .on_output = [&](const Tensor& t) { rows += t.dim(0); }});
  CHECK(rows == 40);
  CHECK(a.logits_hash == b.logits_hash);
  bench.model->parameters()[0]->raw().mutable_data().mut<float>()[0] += 0.5f;
  CHECK(evaluate(*bench.model, *bench.task, bench.test, 16, {.hash = true}).logits_hash != a.logits_hash);
}

TEST_CASE("a run that diverges says where and updates nothing") {
  Bench bench({.optimizer = R"({"type": "sgd", "lr": 1e30, "weight_decay": 1e30})", .train = lasting(3)});
  std::string message;
  try {
    bench.trainer.run({});
  } catch (const DivergedError& error) {
    message = error.what();
  }
  CHECK(message.find("diverged at step ") != std::string::npos);
  CHECK(message.find("of 15 (epoch 1)") != std::string::npos);
  for (const Parameter* parameter : bench.model->parameters()) {
    CHECK_FALSE(parameter->raw().grad().defined());
  }
}

TEST_CASE("an evaluation whose loss is not finite ends the run before anyone saves it") {
  Bench bench({.train = lasting(1)});
  struct Spoiler : Events {
    Model& model;
    explicit Spoiler(Model& m) : model(m) {}
    void on_epoch(const Progress&) override {
      model.parameters().back()->raw().mutable_data().mut<float>()[0] = NAN;
    }
  } events(*bench.model);
  std::string message;
  try {
    bench.trainer.run({&events});
  } catch (const DivergedError& error) {
    message = error.what();
  }
  CHECK(message.find("diverged at step 4 of 5 (epoch 1): the evaluation's loss is ") == 0);
  CHECK(events.settled == 4);
  CHECK(events.top1.empty());
}

TEST_CASE("a request to stop ends the run once the step is settled") {
  std::atomic<bool> stop{false};
  Bench bench({.stop = &stop});
  struct Stopper : Events {
    std::atomic<bool>& flag;
    explicit Stopper(std::atomic<bool>& f) : flag(f) {}
    void on_settled(const Progress& p, const Trainer& t) override {
      Events::on_settled(p, t);
      if (p.step == 6) flag = true;
      if (p.step == 7) CHECK(p.stopping);
    }
  } events(stop);
  CHECK_THROWS_AS(bench.trainer.run({&events}), InterruptedError);
  CHECK(bench.trainer.progress().step == 7);
  CHECK(events.settled == 7);
}

TEST_CASE("plateau sees the evaluations, and a metric that is not there is an error") {
  Bench bench({.schedule = R"({"type": "plateau", "metric": "top1", "mode": "max", "patience": 0,
                               "threshold": 10, "factor": 0.5})",
               .train = lasting(3)});
  Events events;
  bench.trainer.run({&events});
  CHECK(events.rates[9] == doctest::Approx(0.2));
  CHECK(events.rates[10] == doctest::Approx(0.1));
  Bench wrong({.schedule = R"({"type": "plateau", "metric": "perplexity"})"});
  CHECK_THROWS_AS(wrong.trainer.run({}), ConfigError);
}

TEST_CASE("after warm-up a step allocates nothing from the system") {
  for (const int prefetch : {0, 2}) {
    Bench bench({.train = lasting(4, 0.9), .prefetch = prefetch});
    while (bench.trainer.progress().step < 6) bench.trainer.step();  // the smaller batch 5 warms up too
    const uint64_t before = host_allocator::stats().system_allocations;
    while (!bench.trainer.done()) bench.trainer.step();
    CHECK(host_allocator::stats().system_allocations == before);
  }
}

}  // namespace lathe

TEST_SUITE_END();
