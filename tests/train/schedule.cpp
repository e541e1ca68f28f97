#include "train/schedule/schedule.h"

#include <cmath>

#include <doctest/doctest.h>

#include "core/files.h"
#include "core/json.h"
#include "tests/support/golden.h"

TEST_SUITE_BEGIN("train");

namespace lathe {
namespace {

std::unique_ptr<Schedule> make(const std::string& section) {
  return schedule_registry().build(parse_json(section, "test"), {"test", "schedule"});
}

/// 10 steps an epoch, 10 epochs.
double at(const Schedule& schedule, int64_t step, double lr = 1) {
  return schedule.rate(lr, {step, 10, 100});
}

void compare_with_golden(const char* file, const std::string& section, double lr, int64_t total) {
  const auto folder = tests::golden_folder("ops");
  if (!folder) return;
  const Value golden = parse_json(read_text(*folder / file), file);
  const auto& steps = golden.find("inputs")->find("t")->find("data")->items();
  const auto& rates = golden.find("outputs")->find("y")->find("data")->items();
  const auto schedule = make(section);
  for (size_t i = 0; i < steps.size(); ++i) {
    const double rate = schedule->rate(lr, {steps[i].as_int(), 1, total});
    CHECK_MESSAGE(std::abs(rate - rates[i].as_real()) < 1e-12, file, " step ", steps[i].as_int(), ": ", rate,
                  " instead of ", rates[i].as_real());
  }
}

}  // namespace

TEST_CASE("schedules by hand") {
  const auto constant = make(R"({"type": "constant"})");
  CHECK(at(*constant, 0, 0.3) == 0.3);
  CHECK(at(*constant, 99, 0.3) == 0.3);

  const auto step = make(R"({"type": "step", "every": 3, "gamma": 0.5})");
  CHECK(at(*step, 29) == 1);
  CHECK(at(*step, 30) == 0.5);
  CHECK(at(*step, 60) == 0.25);

  const auto multistep = make(R"({"type": "multistep", "milestones": [2, 5], "gamma": 0.1})");
  CHECK(at(*multistep, 19) == 1);
  CHECK(at(*multistep, 20) == doctest::Approx(0.1));
  CHECK(at(*multistep, 50) == doctest::Approx(0.01));

  const auto cosine = make(R"({"type": "cosine", "min_lr": 0.2})");
  CHECK(at(*cosine, 0) == 1);
  CHECK(at(*cosine, 50) == doctest::Approx(0.6));
  CHECK(at(*cosine, 100) == doctest::Approx(0.2));

  const auto per_epoch = make(R"({"type": "cosine", "per_epoch": true})");
  CHECK(at(*per_epoch, 59) == doctest::Approx(0.5));

  const auto restarts =
      make(R"({"type": "cosine_restarts", "period_epochs": 2, "period_factor": 2, "shrink": 0.5})");
  CHECK(at(*restarts, 10) == doctest::Approx(0.5));
  CHECK(at(*restarts, 20) == doctest::Approx(0.5));
  CHECK(at(*restarts, 40) == doctest::Approx(0.25));
  CHECK(at(*restarts, 60) == doctest::Approx(0.25));

  const auto root = make(R"({"type": "inverse_sqrt", "warmup_steps": 4})");
  CHECK(at(*root, 4) == 1);
  CHECK(at(*root, 64) == doctest::Approx(0.25));

  const auto cycle = make(R"({"type": "one_cycle", "peak": 0.31, "start_div": 10, "final_div": 100})");
  CHECK(at(*cycle, 0) == doctest::Approx(0.1));
  CHECK(at(*cycle, 15) == doctest::Approx(0.55));
  CHECK(at(*cycle, 30) == doctest::Approx(1));
  CHECK(at(*cycle, 99) == doctest::Approx(0.001));
}

TEST_CASE("warm-up rises without a wasted step") {
  const auto schedule = make(R"({"type": "cosine", "warmup_steps": 9})");
  CHECK(at(*schedule, 0) == doctest::Approx(0.1));
  CHECK(at(*schedule, 8) == doctest::Approx(0.9));
  CHECK(at(*schedule, 9) == 1);
  const auto epochs = make(R"({"type": "constant", "warmup_epochs": 2, "warmup_from": 0.2})");
  CHECK(at(*epochs, 0) == doctest::Approx(0.2));
  CHECK(at(*epochs, 10) == doctest::Approx(0.6));
  CHECK(at(*epochs, 20) == 1);
  const auto stairs = make(R"({"type": "constant", "warmup_epochs": 3, "per_epoch": true})");
  CHECK(at(*stairs, 9) == doctest::Approx(0.25));
  CHECK(at(*stairs, 10) == doctest::Approx(0.5));
  CHECK(at(*stairs, 30) == 1);
}

TEST_CASE("plateau drops after patience, and its state travels") {
  const auto section =
      R"({"type": "plateau", "metric": "top1", "mode": "max", "patience": 1, "factor": 0.5})";
  const auto schedule = make(section);
  CHECK(schedule->watches() == "top1");
  CHECK(schedule->state().find("best")->is(Value::Type::Null));
  for (const double value : {0.5, 0.6, 0.6}) schedule->observe(value);
  CHECK(at(*schedule, 0) == 1);
  const auto copy = make(section);
  copy->restore(parse_json(to_json(schedule->state()), "state"));
  for (Schedule* one : {schedule.get(), copy.get()}) {
    one->observe(0.55);
    CHECK(at(*one, 0) == 0.5);
    one->observe(0.7);
    one->observe(0.7);
    CHECK(at(*one, 0) == 0.5);
    one->observe(0.1);
    CHECK(at(*one, 0) == 0.25);
  }
}

TEST_CASE("plateau remembers no metric that is not finite, before a checkpoint and after it") {
  const auto section =
      R"({"type": "plateau", "metric": "perplexity", "mode": "min", "patience": 1, "factor": 0.5})";
  const auto schedule = make(section), copy = make(section);
  schedule->observe(INFINITY);
  copy->restore(parse_json(to_json(schedule->state()), "state"));
  for (Schedule* one : {schedule.get(), copy.get()}) {
    one->observe(9);
    CHECK(one->state().find("best")->as_real() == 9);
    one->observe(INFINITY);
    CHECK(at(*one, 0) == 1);
    one->observe(NAN);
    CHECK(at(*one, 0) == 0.5);
  }
}

TEST_CASE("schedules that mean nothing are refused") {
  for (const char* section :
       {R"({"type": "cosine", "warmup_steps": 1, "warmup_epochs": 1})",
        R"({"type": "multistep", "milestones": []})", R"({"type": "multistep", "milestones": [5, 2]})",
        R"({"type": "multistep"})", R"({"type": "cosine_restarts"})", R"({"type": "step", "every": 0})",
        R"({"type": "cosin"})", R"({"type": "one_cycle", "warmup_epochs": 1})"}) {
    CHECK_THROWS_AS(make(section), ConfigError);
  }
}

TEST_CASE("golden schedules") {
  compare_with_golden("lr_cosine_fairseq_wiki103.json", R"({"type": "cosine_restarts", "period_steps": 270000,
    "period_factor": 2, "shrink": 0.75, "min_lr": 1e-4, "warmup_steps": 16000, "warmup_from": 1e-7})",
                      1.0, 1000000);
  compare_with_golden("lr_cosine_timm_deit.json", R"({"type": "cosine", "min_lr": 1e-5, "warmup_steps": 5,
    "warmup_from": 1e-6, "under_warmup": true})",
                      1e-3, 300);
  compare_with_golden("lr_step_timm_effnet.json", R"({"type": "step", "every": 2.4, "gamma": 0.97,
    "warmup_steps": 3, "warmup_from": 1e-6})",
                      0.016, 450);
}

}  // namespace lathe

TEST_SUITE_END();
