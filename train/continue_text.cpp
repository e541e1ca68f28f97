#include "train/continue_text.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/philox.h"
#include "models/registry.h"

namespace lathe {
namespace {

Vocabulary vocabulary_of(const SavedRun& run) {
  const std::string source = run.packed.empty() ? run.folder.string() : run.packed.string();
  const Value* tokenizer = run.input.find("tokenizer");
  LATHE_CHECK(ConfigError, tokenizer != nullptr, source,
              ": nothing says what the model's tokens are: it was not trained here on text");
  return Vocabulary::from_value(*tokenizer, source);
}

}  // namespace

bool TextContinuer::continues(const SavedRun& run) {
  const auto model = model_registry().build(run.model, run.where / "model", {.device = Device::meta()});
  return dynamic_cast<LanguageModel*>(model.get()) != nullptr;
}

TextContinuer::TextContinuer(SavedRun run, Device device)
    : run_(std::move(run)),
      vocabulary_(vocabulary_of(run_)),
      model_(load_run_model(run_, device)),
      language_(dynamic_cast<LanguageModel*>(model_.get())) {
  LATHE_CHECK(ConfigError, language_ != nullptr, run_.name, ": the model is no language model");
  LATHE_CHECK(FormatError, language_->vocabulary() == vocabulary_.size(), run_.name, ": the model has ",
              language_->vocabulary(), " tokens, its vocabulary ", vocabulary_.size());
  model_->run().mode = Mode::Eval;
  ++model_->run().forward;  // one forward for all texts: weights are decoded once
}

TextContinuer::Prompt TextContinuer::read(const std::string& prompt) const {
  EncodedText text = vocabulary_.encode(prompt, "prompt");
  // A prompt's last line goes on.
  if (!text.ids.empty() && text.ids.back() == vocabulary_.line_end() && !prompt.ends_with('\n'))
    text.ids.pop_back();
  if (text.ids.empty()) {
    const int64_t line_feed = vocabulary_.find("\n");
    const int64_t start =
        vocabulary_.line_end() >= 0 ? vocabulary_.line_end() : std::max<int64_t>(line_feed, 0);
    text.ids.push_back(static_cast<int32_t>(start));
  }
  const int64_t unseen = static_cast<int64_t>(text.ids.size()) - language_->context();
  const auto unknown = static_cast<int64_t>(text.unknown.size());
  return {std::move(text.ids), unknown, std::max<int64_t>(unseen, 0)};
}

int64_t TextContinuer::draw(const std::vector<int32_t>& ids, const ContinueOptions& options,
                            uint64_t number) {
  const auto length = std::min<int64_t>(static_cast<int64_t>(ids.size()), language_->context());
  Tensor tokens = Tensor::empty({1, length}, DType::I64);
  std::copy(ids.end() - length, ids.end(), tokens.mut<int64_t>());
  const Tensor next =
      language_->next_log_probabilities(tokens.to(model_->device())).data().to(Device::cpu()).to(DType::F32);
  const Philox philox{options.seed, stream_id("continue"), 0};
  return draw_token(next.span<float>(), options, double{philox.uniform(number)});
}

void TextContinuer::run(const Prompt& prompt, const ContinueOptions& options,
                        const std::function<void(const std::string& piece)>& tell) {
  const NoGrad no_grad;
  const MathModeScope math(run_.math);
  std::vector<int32_t> ids = prompt.ids;
  for (int64_t i = 0; i < options.tokens; ++i) {
    const int64_t token = draw(ids, options, static_cast<uint64_t>(i));
    std::string piece;
    vocabulary_.append(piece, token, ids.back());
    ids.push_back(static_cast<int32_t>(token));
    tell(piece);
  }
}

int64_t draw_token(std::span<const float> log_probabilities, const ContinueOptions& options, double u) {
  const auto size = static_cast<int64_t>(log_probabilities.size());
  std::vector<int64_t> order(log_probabilities.size());
  std::iota(order.begin(), order.end(), 0);
  const bool greedy = options.temperature == 0;
  const int64_t kept = greedy ? 1 : options.top_k > 0 ? std::min(options.top_k, size) : size;
  const auto before = [&](int64_t a, int64_t b) {
    const float pa = log_probabilities[static_cast<size_t>(a)],
                pb = log_probabilities[static_cast<size_t>(b)];
    return pa != pb ? pa > pb : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + kept, order.end(), before);
  if (kept == 1) return order[0];
  const double highest = log_probabilities[static_cast<size_t>(order[0])];
  std::vector<double> shares;
  for (int64_t i = 0; i < kept; ++i) {
    const double p = log_probabilities[static_cast<size_t>(order[static_cast<size_t>(i)])];
    shares.push_back(std::exp((p - highest) / options.temperature));
  }
  double left = u * std::accumulate(shares.begin(), shares.end(), 0.0);
  for (int64_t i = 0; i < kept; ++i) {
    left -= shares[static_cast<size_t>(i)];
    if (left < 0) return order[static_cast<size_t>(i)];
  }
  return order[static_cast<size_t>(kept) - 1];
}

}  // namespace lathe
