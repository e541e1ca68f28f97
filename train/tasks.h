#pragma once
// What a model is trained and judged for.

#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "layers/model.h"
#include "train/loss/loss.h"

namespace lathe {

struct Metric {
  std::string name;
  double value = 0;
};
using Metrics = std::vector<Metric>;

struct Count {
  std::string name;
  int64_t value = 0;
};

/// Value by name; null when there is none.
const double* find_metric(const Metrics& metrics, std::string_view name);

/// Adds up metrics over batches, in the order given.
class Evaluation {
 public:
  virtual ~Evaluation() = default;
  virtual void add(const Var& output, const Batch& batch) = 0;
  /// DataError when nothing was added.
  virtual Metrics result() const = 0;
  /// What the metrics were taken over, and what was odd in it.
  virtual std::vector<Count> counts() const { return {}; }
};

class Task {
 public:
  virtual ~Task() = default;
  /// Mean training loss of a batch.
  virtual Var loss(Model& model, const Batch& batch) = 0;
  /// What evaluation() is given, and what verification compares: the model's output unless a task needs less.
  virtual Var output(Model& model, const Batch& batch) const { return model.forward(batch); }
  virtual std::unique_ptr<Evaluation> evaluation() const = 0;
  /// The metric that summary.json names.
  virtual std::string metric() const = 0;
};

/// Metrics loss, top1, top5. A sample counts for top-k when fewer than k classes rank above its own; at equal
/// logits the lower index ranks first, and a sample with a logit that is not a number counts for none
/// (metrics.md section 5.1). Counts: ties of the target's logit, samples with such a logit.
std::unique_ptr<Task> classification_task(std::unique_ptr<Loss> loss);

/// Metric loss.
std::unique_ptr<Task> regression_task(std::unique_ptr<Loss> loss);

/// Metrics loss (nats a token), perplexity, bits_per_character or bits_per_byte where tokens are those, and
/// word_perplexity where they are no words and it is finite. Counts: tokens that were scored, words in them,
/// tokens of probability 0 (metrics.md section 5.2). Output is the logarithm of each target's probability,
/// (N, T). ConfigError for another loss than cross entropy, or one with smoothing.
std::unique_ptr<Task> language_task(const DatasetInfo& data, std::unique_ptr<Loss> loss);

/// The task of the data. ConfigError where there is none for it yet.
std::unique_ptr<Task> task_for(const DatasetInfo& data, std::unique_ptr<Loss> loss);

/// Number of classes that rank above `target` among `classes` logits; `classes` when one of them is not a
/// number.
int64_t rank_of(const float* logits, int64_t classes, int64_t target);

}  // namespace lathe
