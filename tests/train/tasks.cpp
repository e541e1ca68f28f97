#include "train/tasks.h"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "core/json.h"

TEST_SUITE_BEGIN("train");

namespace lathe {
namespace {

std::unique_ptr<Loss> make(const char* section) {
  return loss_registry().build(parse_json(section, "test"), {"test", "loss"});
}

double loss_of(const Loss& loss, const Var& output, const Tensor& target, bool plain = false) {
  Batch batch;
  batch.targets = {target};
  batch.size = target.dim(0);
  return (plain ? loss.plain(output, batch) : loss(output, batch)).data().item();
}

}  // namespace

TEST_CASE("rank: ties go to the lower index, not-a-number makes a sample a miss") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float logits[] = {1, 3, 3, 2};
  CHECK(rank_of(logits, 4, 1) == 0);
  CHECK(rank_of(logits, 4, 2) == 1);
  CHECK(rank_of(logits, 4, 3) == 2);
  CHECK(rank_of(logits, 4, 0) == 3);
  const float broken[] = {nan, 1, nan};
  CHECK(rank_of(broken, 3, 0) == 3);
  CHECK(rank_of(broken, 3, 1) == 3);
}

TEST_CASE("classification counts top1 and top5 exactly over uneven batches") {
  const auto task = classification_task(make(R"({"type": "cross_entropy", "label_smoothing": 0.3})"));
  const auto evaluation = task->evaluation();
  CHECK_THROWS_AS(evaluation->result(), DataError);
  const auto add = [&](const std::vector<int64_t>& labels) {
    const int64_t n = static_cast<int64_t>(labels.size());
    Tensor logits = Tensor::empty({n, 7});
    for (int64_t i = 0; i < n * 7; ++i) logits.mut<float>()[i] = static_cast<float>(-(i % 7));
    Batch batch;
    batch.targets = {Tensor::from(labels, {n})};
    batch.size = n;
    evaluation->add(Var(logits), batch);
  };
  add({0, 4, 5});
  add({1});
  const Metrics metrics = evaluation->result();
  CHECK(*find_metric(metrics, "top1") == 0.25);
  CHECK(*find_metric(metrics, "top5") == 0.75);
  CHECK(find_metric(metrics, "top2") == nullptr);
  double sum = 0;
  for (int c = 0; c < 7; ++c) sum += std::exp(-c);
  CHECK(*find_metric(metrics, "loss") == doctest::Approx(std::log(sum) + (0 + 4 + 5 + 1) / 4.0));
  CHECK_THROWS_AS(add({7}), Error);
}

TEST_CASE("cross-entropy takes classes and probabilities alike") {
  const Var logits(Tensor::from(std::vector<double>{1, 2, 0, -1, 0.5, 3}, {2, 3}));
  const Tensor classes = Tensor::from(std::vector<int64_t>{2, 1}, {2});
  const Tensor rows = one_hot(classes, 3, DType::F64);
  for (const char* section :
       {R"({"type": "cross_entropy"})", R"({"type": "cross_entropy", "label_smoothing": 0.2})"}) {
    const auto loss = make(section);
    CHECK(loss_of(*loss, logits, classes) == doctest::Approx(loss_of(*loss, logits, rows)).epsilon(1e-12));
    CHECK(loss_of(*loss, logits, classes, true) ==
          doctest::Approx(loss_of(*make(R"({"type": "soft_cross_entropy"})"), logits, rows)).epsilon(1e-12));
  }
}

TEST_CASE("elementwise losses") {
  const Var output(Tensor::from(std::vector<double>{1, 2, -1, 0}, {2, 2}));
  const Tensor target = Tensor::from(std::vector<double>{0, 0, 1, 0}, {2, 2});
  CHECK(loss_of(*make(R"({"type": "l1"})"), output, target) == doctest::Approx(5.0 / 4));
  CHECK(loss_of(*make(R"({"type": "mse"})"), output, target) == doctest::Approx(9.0 / 4));
  const double bce =
      (std::log1p(std::exp(1)) + std::log1p(std::exp(2)) + std::log1p(std::exp(1)) + std::log(2.0)) / 4;
  CHECK(loss_of(*make(R"({"type": "bce"})"), output, target) == doctest::Approx(bce));
  CHECK_THROWS_AS(loss_of(*make(R"({"type": "mse"})"), output, Tensor::zeros({2, 3}, DType::F64)),
                  ShapeError);
  CHECK_THROWS_AS(one_hot(Tensor::from(std::vector<int64_t>{3}, {1}), 3, DType::F32), DataError);
}

}  // namespace lathe

TEST_SUITE_END();
