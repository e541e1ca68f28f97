#include "train/tasks.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/elementwise.h"
#include "train/separation.h"

namespace lathe {
namespace {

/// Mean of the batches' losses, weighted by their sizes.
class LossMean {
 public:
  void add(double loss, int64_t samples) {
    sum_ += loss * static_cast<double>(samples);
    samples_ += samples;
  }
  int64_t samples() const { return samples_; }
  double mean() const {
    LATHE_CHECK(DataError, samples_ > 0, "evaluation: the split has no samples");
    return sum_ / static_cast<double>(samples_);
  }

 private:
  double sum_ = 0;
  int64_t samples_ = 0;
};

class ClassificationEvaluation : public Evaluation {
 public:
  explicit ClassificationEvaluation(const Loss& loss) : loss_(loss) {}

  void add(const Var& output, const Batch& batch) override {
    mean_.add(loss_.plain(output, batch).data().item(), batch.size);
    const Tensor& targets = batch.targets.at(0);
    LATHE_CHECK(DTypeError, targets.dtype() == DType::I64,
                "classification: evaluation needs class indices, found ", targets.dtype());
    const Tensor logits = output.data().to(Device::cpu()).to(DType::F32);
    LATHE_CHECK(ShapeError, logits.rank() == 2 && logits.dim(0) == batch.size,
                "classification: expected logits (", batch.size, ", classes), found ", logits.shape());
    const int64_t classes = logits.dim(1);
    const int64_t* labels = targets.ptr<int64_t>();
    for (int64_t i = 0; i < batch.size; ++i) {
      LATHE_CHECK(DataError, labels[i] >= 0 && labels[i] < classes, "classification: class ", labels[i],
                  " in the data, but the model has ", classes, " classes");
      const float* row = logits.ptr<float>() + i * classes;
      const int64_t rank = rank_of(row, classes, labels[i]);
      top1_ += rank < 1 ? 1 : 0;
      top5_ += rank < std::min<int64_t>(5, classes) ? 1 : 0;
      ties_ += std::count(row, row + classes, row[labels[i]]) > 1 ? 1 : 0;
      broken_ += rank == classes ? 1 : 0;
    }
  }

  Metrics result() const override {
    const double loss = mean_.mean();
    const double samples = static_cast<double>(mean_.samples());
    return {{"loss", loss},
            {"top1", static_cast<double>(top1_) / samples},
            {"top5", static_cast<double>(top5_) / samples}};
  }
  std::vector<Count> counts() const override { return {{"ties", ties_}, {"not_a_number", broken_}}; }

 private:
  const Loss& loss_;
  LossMean mean_;
  int64_t top1_ = 0, top5_ = 0;
  int64_t ties_ = 0, broken_ = 0;
};

class RegressionEvaluation : public Evaluation {
 public:
  explicit RegressionEvaluation(const Loss& loss) : loss_(loss) {}
  void add(const Var& output, const Batch& batch) override {
    mean_.add(loss_.plain(output, batch).data().item(), batch.size);
  }
  Metrics result() const override { return {{"loss", mean_.mean()}}; }

 private:
  const Loss& loss_;
  LossMean mean_;
};

/// In the parameters' type, whatever activations are rounded to.
Var training_loss(const Loss& loss, Model& model, const Batch& batch) {
  return loss(cast(model.forward(batch), model.root_options().dtype), batch);
}

class ClassificationTask : public Task {
 public:
  explicit ClassificationTask(std::unique_ptr<Loss> loss) : loss_(std::move(loss)) {}
  Var loss(Model& model, const Batch& batch) override { return training_loss(*loss_, model, batch); }
  std::unique_ptr<Evaluation> evaluation() const override {
    return std::make_unique<ClassificationEvaluation>(*loss_);
  }
  std::string metric() const override { return "top1"; }

 private:
  std::unique_ptr<Loss> loss_;
};

class RegressionTask : public Task {
 public:
  explicit RegressionTask(std::unique_ptr<Loss> loss) : loss_(std::move(loss)) {}
  Var loss(Model& model, const Batch& batch) override { return training_loss(*loss_, model, batch); }
  std::unique_ptr<Evaluation> evaluation() const override {
    return std::make_unique<RegressionEvaluation>(*loss_);
  }
  std::string metric() const override { return "loss"; }

 private:
  std::unique_ptr<Loss> loss_;
};

}  // namespace

const double* find_metric(const Metrics& metrics, std::string_view name) {
  for (const Metric& metric : metrics) {
    if (metric.name == name) return &metric.value;
  }
  return nullptr;
}

std::unique_ptr<Task> classification_task(std::unique_ptr<Loss> loss) {
  return std::make_unique<ClassificationTask>(std::move(loss));
}

std::unique_ptr<Task> regression_task(std::unique_ptr<Loss> loss) {
  return std::make_unique<RegressionTask>(std::move(loss));
}

std::unique_ptr<Task> task_for(const DatasetInfo& data, std::unique_ptr<Loss> loss) {
  switch (data.task) {
    case DataTask::Classification:
      return classification_task(std::move(loss));
    case DataTask::Regression:
      return regression_task(std::move(loss));
    case DataTask::Language:
      return language_task(data, std::move(loss));
    case DataTask::Separation:
      return separation_task(std::move(loss), data);
  }
  LATHE_THROW(ConfigError, "data set '", data.type, "' has a task that this build cannot train");
}

int64_t rank_of(const float* logits, int64_t classes, int64_t target) {
  const float own = logits[target];
  int64_t above = 0;
  for (int64_t c = 0; c < classes; ++c) {
    if (std::isnan(logits[c])) return classes;
    above += logits[c] > own || (logits[c] == own && c < target) ? 1 : 0;
  }
  return above;
}

}  // namespace lathe
