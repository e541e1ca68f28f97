// Language modelling: the probability of each next token (metrics.md 5.2).

#include <cmath>

#include "data/vocabulary.h"
#include "train/tasks.h"

namespace lathe {
namespace {

LanguageModel& language_model(Model& model) {
  auto* language = dynamic_cast<LanguageModel*>(&model);
  LATHE_CHECK(ConfigError, language != nullptr, "language modelling: the model ", model.type(),
              " is no language model");
  return *language;
}

const Tensor& only(const std::vector<Tensor>& tensors, const char* what) {
  LATHE_CHECK(ShapeError, tensors.size() == 1, "language modelling: the batch has ", tensors.size(), " ",
              what, ", expected one");
  return tensors[0];
}

/// What a mean is taken over besides tokens.
struct Units {
  explicit Units(const DatasetInfo& data) {
    const Vocabulary vocabulary = Vocabulary::from_value(data.tokenizer, "data set " + data.type);
    unit = vocabulary.unit();
    if (unit == TokenUnit::Word) return;
    for (const std::string_view space : {" ", "\n", "\t", "\r", "\v", "\f"}) {
      const int64_t token = vocabulary.find(space);
      if (token >= 0) spaces.push_back(token);
    }
  }
  bool is_space(int64_t token) const {
    for (const int64_t space : spaces) {
      if (token == space) return true;
    }
    return false;
  }
  TokenUnit unit;
  std::vector<int64_t> spaces;
};

class LanguageEvaluation : public Evaluation {
 public:
  explicit LanguageEvaluation(const Units& units) : units_(units) {}

  void add(const Var& output, const Batch& batch) override {
    const Tensor& targets = only(batch.targets, "targets");
    const Tensor scores = output.data().to(Device::cpu()).to(DType::F64);
    LATHE_CHECK(ShapeError, scores.shape() == targets.shape(),
                "language modelling: expected a probability of each target ", targets.shape(), ", found ",
                scores.shape());
    for (int64_t i = 0; i < targets.numel(); ++i) {
      const int64_t target = targets.ptr<int64_t>()[i];
      if (target == kUnscored) continue;
      const double score = scores.ptr<double>()[i];
      cost_ -= score;
      ++tokens_;
      impossible_ += std::isinf(score) ? 1 : 0;
      const bool space = units_.is_space(target);
      words_ += !space && between_words_ ? 1 : 0;
      between_words_ = space;
    }
  }

  Metrics result() const override {
    LATHE_CHECK(DataError, tokens_ > 0, "evaluation: the split has no token that is scored");
    const double loss = cost_ / static_cast<double>(tokens_);
    Metrics metrics = {{"loss", loss}, {"perplexity", std::exp(loss)}};
    if (units_.unit == TokenUnit::Word) return metrics;
    metrics.push_back(
        {units_.unit == TokenUnit::Byte ? "bits_per_byte" : "bits_per_character", loss / std::log(2.0)});
    if (words_ == 0) return metrics;
    const double by_word = std::exp(cost_ / static_cast<double>(words_));
    // A text without spaces is one word, and its perplexity beyond what a double holds.
    if (std::isfinite(by_word)) metrics.push_back({"word_perplexity", by_word});
    return metrics;
  }
  std::vector<Count> counts() const override {
    std::vector<Count> counts = {{"tokens", tokens_}};
    if (units_.unit != TokenUnit::Word) counts.push_back({"words", words_});
    counts.push_back({"of_probability_0", impossible_});
    return counts;
  }

 private:
  const Units& units_;
  double cost_ = 0;
  int64_t tokens_ = 0, words_ = 0, impossible_ = 0;
  bool between_words_ = true;
};

class LanguageTask : public Task {
 public:
  explicit LanguageTask(const DatasetInfo& data) : units_(data) {}
  Var loss(Model& model, const Batch& batch) override {
    return language_model(model).loss(only(batch.inputs, "inputs"), only(batch.targets, "targets"));
  }
  Var output(Model& model, const Batch& batch) const override {
    return language_model(model).target_log_probabilities(only(batch.inputs, "inputs"),
                                                          only(batch.targets, "targets"));
  }
  std::unique_ptr<Evaluation> evaluation() const override {
    return std::make_unique<LanguageEvaluation>(units_);
  }
  std::string metric() const override { return "perplexity"; }

 private:
  Units units_;
};

}  // namespace

std::unique_ptr<Task> language_task(const DatasetInfo& data, std::unique_ptr<Loss> loss) {
  LATHE_CHECK(ConfigError, loss->plain_cross_entropy(), "loss: data set '", data.type,
              "' is text: expected cross_entropy without label smoothing");
  return std::make_unique<LanguageTask>(data);
}

}  // namespace lathe
