// Language models as a task: metrics, training, continuation, published layouts.

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/json.h"
#include "data/text.h"
#include "models/registry.h"
#include "models/transformer_lm.h"
#include "tests/support/golden.h"
#include "tests/support/scratch.h"
#include "train/build.h"
#include "train/continue_text.h"
#include "train/evaluate.h"
#include "train/run.h"
#include "train/weights.h"

TEST_SUITE_BEGIN("train");

namespace lathe {

namespace {

std::unique_ptr<Dataset> open(const std::string& section, const std::string& split) {
  return split_registry().build(parse_json(section, "test"), {"", "data"}, split, 7);
}

std::unique_ptr<Model> build(const std::string& section, const RootOptions& root = {.seed = 5}) {
  return model_registry().build(parse_json(section, "test"), {"", "model"}, root);
}

std::unique_ptr<Task> task_of(const DatasetInfo& data,
                              const std::string& loss = R"({"type": "cross_entropy"})") {
  return task_for(data, loss_registry().build(parse_json(loss, "test"), {"", "loss"}));
}

const std::string kProse = R"({"type": "prose", "train": 6000, "test": 2000, "context": 16, "samples": 256)";
const std::string kGpt =
    R"({"type": "gpt", "context": 16, "vocab": 29, "layers": 1, "heads": 2, "width": 16, "dropout": 0.0})";
const std::string kAdaptive = R"({"type": "transformer_lm", "context": 16, "vocab": 29, "cutoffs": [8, 16],
  "factor": 2, "width": 16, "layers": 2, "heads": 2, "ffn": 32, "padding": -1)";

double value_of(const Metrics& metrics, std::string_view name) {
  const double* found = find_metric(metrics, name);
  return found == nullptr ? -1 : *found;
}

std::vector<int64_t> some_tokens(int64_t n) {
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < n; ++i) tokens.push_back(3 + 7 * i % 26);
  return tokens;
}

// The tensor of this name; REQUIREs it.
Tensor& tensor_named(std::vector<NamedTensor>& tensors, const std::string& name) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const NamedTensor& one) { return one.name == name; });
  REQUIRE(found != tensors.end());
  return found->tensor;
}

Tensor transposed(const Tensor& x) {
  Tensor y = Tensor::empty({x.dim(1), x.dim(0)}, x.dtype());
  for (int64_t i = 0; i < x.dim(0); ++i) {
    for (int64_t j = 0; j < x.dim(1); ++j)
      y.mut<float>()[j * x.dim(0) + i] = x.ptr<float>()[i * x.dim(1) + j];
  }
  return y;
}

bool same_weights(const Model& a, const Model& b) {
  const std::vector<NamedTensor> left = to_pytorch(a), right = to_pytorch(b);
  for (size_t i = 0; i < left.size(); ++i) {
    if (left[i].name != right[i].name || !same_bits(left[i].tensor, right[i].tensor)) return false;
  }
  return left.size() == right.size();
}

}  // namespace

TEST_CASE("metrics of a text are means over what is scored") {
  const auto data = open(kProse + R"(, "context_window": 8})", "test");
  const auto task = task_of(data->info());
  CHECK(task->metric() == "perplexity");
  const auto evaluation = task->evaluation();
  Batch batch = data->allocate(1);
  const Tensor letters = Tensor::from(std::vector<int64_t>{3, 4, 1, 5, kUnscored, 2, 1, 6}, {1, 8});
  batch.targets[0] = letters;
  std::vector<double> scores = {-1, -2, -3, -4, -99, -5, -6, -7};
  evaluation->add(Var(Tensor::from(scores, {1, 8})), batch);
  const Metrics metrics = evaluation->result();
  CHECK(value_of(metrics, "loss") == doctest::Approx(4));
  CHECK(value_of(metrics, "perplexity") == doctest::Approx(std::exp(4.0)));
  CHECK(value_of(metrics, "bits_per_character") == doctest::Approx(4 / std::log(2.0)));
  CHECK(value_of(metrics, "word_perplexity") == doctest::Approx(std::exp(28.0 / 3)));  // "ab", "c.", "d"
  const std::vector<Count> counts = evaluation->counts();
  REQUIRE(counts.size() == 3);
  CHECK(counts[0].value == 7);  // tokens
  CHECK(counts[1].value == 3);  // words
  CHECK(counts[2].value == 0);  // of probability 0
  scores[0] = -INFINITY;
  evaluation->add(Var(Tensor::from(scores, {1, 8})), batch);
  CHECK(std::isinf(value_of(evaluation->result(), "perplexity")));
  CHECK(evaluation->counts()[2].value == 1);
  CHECK(value_of(evaluation->result(), "word_perplexity") == -1);
  const auto one_word = task->evaluation();
  batch.targets[0] = Tensor::from(std::vector<int64_t>(8, 3), {1, 8});
  one_word->add(Var(Tensor::from(std::vector<double>(8, -100), {1, 8})), batch);
  CHECK(value_of(one_word->result(), "perplexity") == doctest::Approx(std::exp(100.0)));
  CHECK(value_of(one_word->result(), "word_perplexity") == -1);  // e^800
  CHECK_THROWS_AS(task->evaluation()->result(), DataError);
  CHECK_THROWS_AS(task_of(data->info(), R"({"type": "mse"})"), ConfigError);
  CHECK_THROWS_AS(task_of(data->info(), R"({"type": "cross_entropy", "label_smoothing": 0.1})"), ConfigError);
}

TEST_CASE("losses, log-probabilities and logits of a language model agree, and it is causal") {
  for (const std::string& section : {kGpt, kAdaptive + R"(, "dropout": 0.0})"}) {
    CAPTURE(section);
    const auto model = build(section, {.seed = 5, .dtype = DType::F64});
    model->run().mode = Mode::Eval;
    auto& language = dynamic_cast<LanguageModel&>(*model);
    const NoGrad no_grad;
    std::vector<int64_t> tokens = some_tokens(32);
    const Tensor in = Tensor::from(tokens, {2, 16});
    std::vector<int64_t> next(tokens.begin() + 1, tokens.end());
    next.push_back(kUnscored);
    const Tensor out = Tensor::from(next, {2, 16});
    const Tensor each = language.target_log_probabilities(in, out).data();
    double sum = 0;
    for (const double p : each.span<double>()) sum += p;
    CHECK(language.loss(in, out).data().item() == doctest::Approx(-sum / 31).epsilon(1e-10));
    const Tensor last = language.next_log_probabilities(in).data();
    CHECK(last.shape() == Shape({2, 29}));
    double total = 0;
    for (int64_t w = 0; w < 29; ++w) total += std::exp(last.ptr<double>()[w]);
    CHECK(total == doctest::Approx(1).epsilon(1e-10));
    tokens[15] = 0;
    const Tensor changed = language.target_log_probabilities(Tensor::from(tokens, {2, 16}), out).data();
    CHECK(same_bits(each.view({32}).rows(0, 15), changed.view({32}).rows(0, 15)));
    CHECK(!same_bits(each, changed));
    CHECK_THROWS_AS(language.logits(Tensor::zeros({1, 17}, DType::I64)), ShapeError);
  }
}

TEST_CASE("a window that begins with padding trains, also where attention's probabilities are dropped") {
  const std::string model = R"({"type": "transformer_lm", "context": 8, "vocab": 29, "cutoffs": [8, 16],
    "factor": 2, "width": 16, "layers": 2, "heads": 2, "ffn": 32, "padding": 1, "attention_dropout": )";
  for (const char* dropout : {"0.0}", "0.3}"}) {
    CAPTURE(std::string(dropout));
    const auto built = build(model + dropout);
    auto& language = dynamic_cast<LanguageModel&>(*built);
    language.run().mode = Mode::Train;
    ++language.run().forward;
    const Var loss = language.loss(Tensor::from(std::vector<int64_t>{1, 1, 5, 6, 7, 1, 8, 9}, {1, 8}),
                                   Tensor::from(std::vector<int64_t>{1, 5, 6, 7, 1, 8, 9, 20}, {1, 8}));
    CHECK(std::isfinite(loss.data().item()));
    backward(loss);
    for (const Parameter* parameter : language.parameters()) {
      const Tensor gradient = parameter->raw().grad();
      if (!gradient.defined()) continue;
      for (const float x : gradient.span<float>()) REQUIRE(std::isfinite(x));
    }
  }
}

TEST_CASE("a text is learned, with layers left out, quantized or not") {
  const tests::ScratchFolder folder;
  const std::string rest =
      R"(, "optimizer": {"type": "adam", "lr": 0.01}, "train": {"epochs": 6, "eval_epochs": 6},
      "output": {"checkpoint_epochs": 6}})";
  const std::string data = kProse + R"(, "batch": 16})";
  const std::string quant = R"(, "quant": {"rules": [{"kind": "any", "type": "codeq", "bits": 6}]})";
  const std::string adaptive = kAdaptive + R"(, "dropout": 0.1, "softmax_dropout": 0.1, "layer_drop": 0.3})";
  int run = 0;
  for (const std::string& model : {kGpt, adaptive, adaptive + quant}) {
    CAPTURE(model);
    const Experiment experiment = parse_experiment(
        R"({"schema": 1, "name": "t", "seed": 1, "data": )" + data + R"(, "model": )" + model + rest,
        "test.json");
    RunRequest request;
    request.folder = folder / concat("run", run++);
    const Value summary = run_experiment(experiment, request);
    CHECK(summary.find("metric")->as_string() == "perplexity");
    CHECK(summary.find("metrics")->find("loss")->as_real() < 2.9);  // single characters have 3.0
    const SavedRun saved = open_run(request.folder), packed = open_run(request.folder / "model.lathe");
    CHECK(*saved.input.find("tokenizer") == *packed.input.find("tokenizer"));
    const auto a = load_run_model(saved), b = load_run_model(packed);
    CHECK(differing_values(*a, *b).empty());
    TextContinuer continuer(packed);
    const auto text_of = [&](const ContinueOptions& options) {
      std::string text;
      continuer.run(continuer.read("ka lo wi ze ba to, or longer than the context"), options,
                    [&](const std::string& piece) { text += piece; });
      return text;
    };
    CHECK_THROWS_AS(text_of({}), DataError);  // the comma
    const auto prompt = continuer.read("a prompt that is longer than the context");
    CHECK(prompt.unseen == 24);
    const auto go_on = [&](const ContinueOptions& options) {
      std::string text;
      continuer.run(prompt, options, [&](const std::string& piece) { text += piece; });
      return text;
    };
    CHECK(go_on({.tokens = 20, .seed = 3}).size() == 20);
    CHECK(go_on({.tokens = 20, .seed = 3}) == go_on({.tokens = 20, .seed = 3}));
    CHECK(go_on({.tokens = 20, .seed = 3}) != go_on({.tokens = 20, .seed = 4}));
    CHECK(go_on({.tokens = 9, .temperature = 0, .seed = 3}) == go_on({.tokens = 9, .top_k = 1, .seed = 4}));
    CHECK(continuer.read("").ids.size() == 1);
  }
}

TEST_CASE("draws follow the probabilities, the temperature and the number of candidates") {
  const std::vector<float> p = {std::log(0.1f), std::log(0.6f), std::log(0.3f)};
  CHECK(draw_token(p, {}, 0.0) == 1);
  CHECK(draw_token(p, {}, 0.59) == 1);
  CHECK(draw_token(p, {}, 0.61) == 2);
  CHECK(draw_token(p, {}, 0.95) == 0);
  CHECK(draw_token(p, {.top_k = 2}, 0.999) == 2);
  CHECK(draw_token(p, {.temperature = 0}, 0.999) == 1);
  CHECK(draw_token(p, {.temperature = 100}, 0.5) == 2);
}

TEST_CASE("GPT-2's layout of the transformers library is read") {
  const std::string section =
      R"({"type": "gpt", "context": 6, "vocab": 9, "layers": 2, "heads": 2, "width": 4,
      "dropout": 0.0, "bias": true, "activation": "gelu_tanh"})";
  const auto ours = build(section), read = build(section, {.seed = 6});
  std::vector<NamedTensor> theirs;
  for (NamedTensor& one : to_pytorch(*ours)) {
    if (one.name == "lm_head.weight") continue;
    const bool conv1d = one.tensor.rank() == 2 && one.name.find(".c_") != std::string::npos;
    theirs.push_back(
        {one.name.substr(std::string("transformer.").size()), conv1d ? transposed(one.tensor) : one.tensor});
  }
  theirs.push_back({"h.0.attn.bias", Tensor::zeros({1, 1, 6, 6})});
  from_pytorch(*read, theirs, "gpt2");
  CHECK(same_weights(*ours, *read));
  from_pytorch(*build(section), to_pytorch(*ours), "ours");
}

TEST_CASE("fairseq's older layout is read, and a language model's export imports with the same bits") {
  const auto ours = build(kAdaptive + "}");
  const auto read = build(kAdaptive + "}", {.seed = 6}), again = build(kAdaptive + "}", {.seed = 7});
  std::vector<NamedTensor> tensors = to_pytorch(*ours);
  from_pytorch(*again, tensors, "ours");
  CHECK(same_weights(*ours, *again));
  for (int layer = 0; layer < 2; ++layer) {
    const std::string at = concat("decoder.layers.", layer, ".");
    for (const char* kind : {"weight", "bias"}) {
      std::vector<float> stacked;
      for (const char* part : {"q_proj.", "k_proj.", "v_proj."}) {
        const Tensor& own = tensor_named(tensors, at + "self_attn." + part + kind);
        stacked.insert(stacked.end(), own.span<float>().begin(), own.span<float>().end());
        const std::string name = at + "self_attn." + part + kind;
        std::erase_if(tensors, [&](const NamedTensor& one) { return one.name == name; });
      }
      const bool weight = std::string(kind) == "weight";
      tensors.push_back(
          {at + "self_attn.in_proj_" + kind, Tensor::from(stacked, weight ? Shape({48, 16}) : Shape({48}))});
    }
  }
  for (NamedTensor& one : tensors) {
    const size_t first = one.name.find("self_attn_layer_norm"), second = one.name.find("final_layer_norm");
    if (first != std::string::npos) one.name.replace(first, 20, "layer_norms.0");
    if (second != std::string::npos) one.name.replace(second, 16, "layer_norms.1");
  }
  for (const char* name : {"decoder.version", "decoder.embed_positions._float_tensor"})
    tensors.push_back({name, Tensor::zeros({1})});
  from_pytorch(*read, tensors, "fairseq");
  CHECK(same_weights(*ours, *read));
}

}  // namespace lathe

TEST_SUITE_END();
