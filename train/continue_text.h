#pragma once
// A trained language model that goes on with a text: from a packed file alone, without its data set.

#include <functional>
#include <memory>
#include <string>

#include "data/vocabulary.h"
#include "train/saved_run.h"

namespace lathe {

struct ContinueOptions {
  int64_t tokens = 200;    ///< to add
  double temperature = 1;  ///< divides logarithms of probabilities; 0: always the most probable token
  int64_t top_k = 0;       ///< draw among so many of the most probable; 0: among all
  uint64_t seed = 1;
};

/// Not for use by two threads at once; two of them are.
class TextContinuer {
 public:
  /// Does the run's model continue text? ConfigError for a model that cannot be built.
  static bool continues(const SavedRun& run);

  /// ConfigError where nothing says what the model's tokens are; else as load_run_model().
  explicit TextContinuer(SavedRun run, Device device = Device::cpu());

  /// What a prompt is for the model: DataError for characters or words that are no tokens and have no
  /// "<unk>". An empty prompt is a line's end, or the first token.
  struct Prompt {
    std::vector<int32_t> ids;
    int64_t unknown = 0;  ///< words read as "<unk>"
    int64_t unseen = 0;   ///< tokens at the front that are beyond the model's context
  };
  Prompt read(const std::string& prompt) const;

  /// Draws tokens one after the other and tells of each one's text; token i is a function of (model, prompt,
  /// options, i). Each looks at the last `context` tokens, all of which are computed anew.
  void run(const Prompt& prompt, const ContinueOptions& options,
           const std::function<void(const std::string& piece)>& tell);

  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  int64_t draw(const std::vector<int32_t>& ids, const ContinueOptions& options, uint64_t number);

  SavedRun run_;
  Vocabulary vocabulary_;
  std::unique_ptr<Model> model_;
  LanguageModel* language_;
};

/// The place of a draw u in [0, 1) among tokens with these logarithms of probabilities, most probable first
/// and at equal ones the lower number first. Exposed for tests.
int64_t draw_token(std::span<const float> log_probabilities, const ContinueOptions& options, double u);

}  // namespace lathe
