#include "data/text.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/hash.h"
#include "core/philox.h"

namespace lathe {

void TextOptions::fields(FieldVisitor& v) {
  v.visit("context", context, {.doc = "tokens of a sample", .min = 1, .max = 1 << 20});
  v.visit("windows", windows,
          {.doc = "training samples: windows that begin anywhere, or consecutive blocks",
           .choices = {"random", "blocks"}});
  v.visit("samples", samples,
          {.doc = "random windows of an epoch; null: as many as blocks fit", .min = 1, .max = 1e9});
  v.visit("context_window", context_window,
          {.doc = "evaluation: earlier tokens that a block sees and that are not scored", .min = 0});
  v.visit("break", line_break,
          {.doc = "evaluation: blocks end anywhere, or hold whole lines", .choices = {"tokens", "lines"}});
  common.fields(v);
}

TextDataset::TextDataset(TextSource source, const TextOptions& options, const FieldPath& where, uint64_t seed)
    : source_(std::move(source)), options_(options), seed_(seed) {
  if (options.context_window >= options.context) {
    config_error(where / "context_window", 0,
                 concat("found ", options.context_window, ", expected less than the context, ",
                        options.context, ": nothing would be scored"));
  }
  if (options.line_break == "lines" && source_.vocabulary->line_end() < 0)
    config_error(where / "break", 0, "blocks of whole lines need a vocabulary of words with </s>");
  const auto tokens = static_cast<int64_t>(source_.text.ids.size());
  LATHE_CHECK(DataError, tokens > 1, source_.type, ", ", source_.split, ": the text has ", tokens,
              " tokens, expected at least 2");
  const bool training = source_.split == "train";
  LATHE_CHECK(DataError, !training || !random() || tokens > options.context, source_.type,
              ", train: the text has ", tokens, " tokens, too few for a window of ", options.context,
              " and what follows it");
  if (training && random()) {
    size_ = options.samples.value_or(std::max<int64_t>(1, (tokens - 1) / options.context));
  } else {
    cut_blocks(training ? options.context : options.context - options.context_window);
    size_ = static_cast<int64_t>(blocks_.size());
  }
  size_ = options.common.limited(source_.split, size_);
  describe_split();
}

bool TextDataset::random() const {
  return options_.windows == "random" && source_.split == "train";
}

/// End of the whole lines from `begin` on that hold at most `most` targets; of one line where it is longer.
int64_t TextDataset::longest(int64_t begin) const {
  const std::vector<int32_t>& ids = source_.text.ids;
  const auto tokens = static_cast<int64_t>(ids.size());
  const int64_t most = options_.context - options_.context_window;
  int64_t end = begin;
  for (int64_t at = begin; at < tokens; ++at) {
    const bool line_ends = ids[static_cast<size_t>(at)] == source_.vocabulary->line_end() || at + 1 == tokens;
    if (line_ends) {
      if (end > begin && at + 1 - begin > most) break;
      end = at + 1;
    }
    if (at - begin >= most && end > begin) break;
  }
  return std::min(end, begin + options_.context);  // a line that no window holds goes on in the next block
}

void TextDataset::cut_blocks(int64_t most) {
  const auto tokens = static_cast<int64_t>(source_.text.ids.size());
  const bool lines = source_.split != "train" && options_.line_break == "lines";
  for (int64_t begin = first_target(); begin < tokens;) {
    const int64_t end = lines ? longest(begin) : std::min(begin + most, tokens);
    const int64_t seen = options_.context - (end - begin);
    const int64_t context = source_.split == "train" ? 0 : std::min(options_.context_window, seen);
    blocks_.push_back({begin, end, std::min(context, begin - first_target())});
    begin = end;
  }
}

void TextDataset::describe_split() {
  info_.type = source_.type;
  info_.split = source_.split;
  info_.task = DataTask::Language;
  info_.sample = Shape({options_.context});
  info_.classes = source_.vocabulary->size();
  info_.tokenizer = source_.vocabulary->to_value();
  Hash hash;
  const std::vector<int32_t>& ids = source_.text.ids;
  hash.add(std::as_bytes(std::span<const int32_t>(ids)));
  const Value& tokens = info_.tokenizer;
  if (const Value* list = tokens.find("tokens"))
    hash.add(std::as_bytes(std::span<const char>(list->as_string().data(), list->as_string().size())));
  info_.content_hash = hash.hex();
}

Batch TextDataset::allocate(int64_t n) const {
  const Shape shape({n, options_.context});
  return {{Tensor::empty(shape, DType::I64)}, {Tensor::empty(shape, DType::I64)}, n};
}

TextDataset::Block TextDataset::block(int64_t index, uint32_t epoch) const {
  if (!random()) return blocks_.at(static_cast<size_t>(index));
  const auto places = static_cast<int64_t>(source_.text.ids.size()) - options_.context;
  const Philox philox{seed_, stream_id("windows"), epoch};
  const int64_t begin = 1 + philox.below(static_cast<uint64_t>(index),
                                         static_cast<uint32_t>(std::min<int64_t>(places, UINT32_MAX)));
  return {begin, begin + options_.context, 0};
}

void TextDataset::load(int64_t index, uint32_t epoch, Batch& batch, int64_t slot) const {
  LATHE_ASSERT(index >= 0 && index < size_);
  const Block window = block(index, epoch);
  const std::vector<int32_t>& ids = source_.text.ids;
  const int64_t length = options_.context;
  int64_t* input = batch.inputs[0].mut<int64_t>() + slot * length;
  int64_t* target = batch.targets[0].mut<int64_t>() + slot * length;
  const int64_t first = window.begin - window.context;
  for (int64_t t = 0; t < length; ++t) {
    const int64_t at = first + t;  // of the target
    const bool there = at < window.end;
    // Behind the last target stands anything: nothing that is scored sees it.
    input[t] = !there ? 0 : at == 0 ? source_.vocabulary->line_end() : ids[static_cast<size_t>(at) - 1];
    target[t] = there && at >= window.begin ? ids[static_cast<size_t>(at)] : kUnscored;
  }
}

Value TextDataset::describe() const {
  const std::vector<int32_t>& ids = source_.text.ids;
  std::vector<int64_t> counts(static_cast<size_t>(source_.vocabulary->size()));
  for (const int32_t id : ids) ++counts[static_cast<size_t>(id)];
  double entropy = 0;
  int64_t used = 0;
  for (const int64_t count : counts) {
    if (count == 0) continue;
    ++used;
    const double share = static_cast<double>(count) / static_cast<double>(ids.size());
    entropy -= share * std::log(share);
  }
  const bool train = source_.split == "train";
  const int64_t stride = train ? options_.context : options_.context - options_.context_window;
  Value about = Dataset::describe();
  about.set("tokens", Value::integer(static_cast<int64_t>(ids.size())));
  about.set("tokens_used", Value::integer(used));
  about.set("unknown", Value::integer(static_cast<int64_t>(source_.text.unknown.size())));
  about.set("unit", *info_.tokenizer.find("unit"));
  about.set("unigram_nats", Value::real(entropy));
  about.set("windows", Value::string(train && random() ? "random" : "blocks"));
  about.set(
      "protocol",
      Value::object({{"block", Value::integer(options_.context)},
                     {"context", Value::integer(train ? 0 : options_.context_window)},
                     {"stride", Value::integer(stride)},
                     {"break", Value::string(train ? "tokens" : options_.line_break)},
                     {"first_input", Value::string(first_target() == 0 ? "</s>" : "the first token")}}));
  for (const auto& [key, value] : source_.facts) about.set(key, value);
  return about;
}

std::vector<std::string> TextDataset::oddities() const {
  std::vector<std::string> found;
  if (!source_.text.unknown.empty()) {
    found.push_back(concat(source_.text.unknown.size(), " of ", source_.text.ids.size(),
                           " tokens are words that the vocabulary does not have"));
  }
  return found;
}

}  // namespace lathe
