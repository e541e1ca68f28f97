#include <algorithm>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/embedding.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "core/batch.h"
#include "layers/adaptive.h"

namespace lathe {
namespace {

CrossEntropyOptions costs(Reduction reduction) {
  CrossEntropyOptions options;
  options.reduction = reduction;
  options.ignore_index = kUnscored;
  return options;
}

/// (N, ..., width) as (rows, width).
Var rows_of(const Var& features) {
  return reshape(features, {features.shape().numel() / features.dim(-1), features.dim(-1)});
}

}  // namespace

/// Logits of the first level. Tied: "word_proj.weight" is the first band's vectors, "class_proj.weight" the
/// tails' rows.
class AdaptiveSoftmax::Head : public Module {
 public:
  Head(Module& parent, const Bands& bands, int64_t width, Parameter& words)
      : Module(parent, "head"),
        words_(*this, "word_proj", width, bands.size(0), {.bias = false, .weight_init = init::constant(0)}),
        class_proj_(*this, "class_proj"),
        classes_(
            class_proj_, "weight",
            {.shape = {bands.count() - 1, width}, .init = init::xavier_uniform(width, bands.count() - 1)}) {
    words_.weight().tie(words);
  }
  const char* type() const override { return "AdaptiveHead"; }

  Var operator()(const Var& x) {
    const ErrorScope scope(*this);
    const Var weight = concat({words_.weight().value(), classes_.value()}, 0);
    return linear(words_.input()(x), cast(weight, x.dtype()));
  }

 private:
  Linear words_;
  Module class_proj_;
  Parameter classes_;
};

/// Logits within a band. "0" narrows features to the band's width: tied, its weight (width, dim) is the
/// input's projection; else (dim, width). "2" holds a row for each word.
class AdaptiveSoftmax::Tail : public Module {
 public:
  Tail(Module& parent, std::string name, InputBand& input, int64_t width,
       const AdaptiveSoftmaxOptions& options)
      : Module(parent, std::move(name)),
        tied_projection_(options.tied_projections),
        dim_(input.vectors.weight().shape()[1]),
        projection_(
            *this, "0", tied_projection_ ? dim_ : width, tied_projection_ ? width : dim_,
            {.bias = false,
             .weight_init = tied_projection_ ? init::constant(0) : init::xavier_uniform(width, dim_)}),
        dropout_(*this, "1", options.dropout),
        words_(
            *this, "2", dim_, input.vectors.weight().shape()[0],
            {.bias = false,
             .weight_init = options.tied ? init::constant(0)
                                         : init::xavier_uniform(dim_, input.vectors.weight().shape()[0])}) {
    if (tied_projection_) projection_.weight().tie(input.projection.weight());
    if (options.tied) words_.weight().tie(input.vectors.weight());
  }
  const char* type() const override { return "AdaptiveTail"; }

  /// Of the rows `places` of h (n, width), equally many of each sample; all of them where `places` is
  /// undefined.
  Var operator()(const Var& h, int64_t samples, const Tensor& places) {
    const ErrorScope scope(*this);
    Var x = narrow(places.defined() ? embedding(h, places) : h);
    if (dropout_.active()) {
      // A mask for every position, so that it depends on the position alone; by samples, which dropout
      // counts.
      const int64_t positions = h.dim(0) / std::max<int64_t>(samples, 1);
      const Var ones(Tensor::full({samples, positions, dim_}, 1, x.dtype()).to(device()));
      const Var kept = reshape(dropout_(ones), {h.dim(0), dim_});
      x = mul(x, places.defined() ? embedding(kept, places) : kept);
    }
    return words_(x);
  }

 private:
  Var narrow(const Var& x) {
    if (!tied_projection_) return projection_(x);
    const ErrorScope scope(projection_);
    return matmul(projection_.input()(x), cast(projection_.weight().value(), x.dtype()));
  }

  bool tied_projection_;
  int64_t dim_;
  Linear projection_;
  Dropout dropout_;
  Linear words_;
};

AdaptiveSoftmax::AdaptiveSoftmax(Module& parent, std::string name, const Bands& bands, AdaptiveInput& input,
                                 const AdaptiveSoftmaxOptions& options)
    : Module(parent, std::move(name)), bands_(bands), options_(options) {
  LATHE_CHECK(ConfigError, options.tied || !options.tied_projections, describe(),
              ": 'tied_projections' needs 'tied'");
  const int64_t first = bands.size(0) + bands.count() - 1;
  if (options.tied) {
    head_ = std::make_unique<Head>(*this, bands, options.width, input.band(0).vectors.weight());
  } else {
    untied_head_ = std::make_unique<Linear>(
        *this, "head", options.width, first,
        LinearOptions{.bias = false, .weight_init = init::xavier_uniform(options.width, first)});
  }
  tail_ = std::make_unique<Module>(*this, "tail");
  for (int64_t b = 1; b < bands.count(); ++b) {
    tails_.push_back(
        std::make_unique<Tail>(*tail_, std::to_string(b - 1), input.band(b), options.width, options));
  }
  dropout_ = std::make_unique<Dropout>(*this, "drop", options.dropout);
}

AdaptiveSoftmax::~AdaptiveSoftmax() = default;

Var AdaptiveSoftmax::head(const Var& x) {
  return head_ ? (*head_)(x) : (*untied_head_)(x);
}

Var AdaptiveSoftmax::first_level(const Var& features) {
  const ErrorScope scope(*this);
  return head((*dropout_)(features));
}

/// Targets as the two levels see them.
struct AdaptiveSoftmax::Targets {
  Tensor first_level;  // (n) i64: the word or the number of its band's logit
  BandSplit tails;
  int64_t scored = 0;
};

AdaptiveSoftmax::Targets AdaptiveSoftmax::read(const Tensor& targets, bool as_the_authors) const {
  Targets read;
  const int64_t n = targets.numel();
  read.tails = split_tail_bands(bands_, targets, device());
  if (targets.device() == Device::meta()) {
    read.first_level = Tensor::empty({n}, DType::I64, Device::meta());
    read.scored = n;
    return read;
  }
  std::vector<int64_t> first(targets.span<int64_t>().begin(), targets.span<int64_t>().end());
  for (int64_t& target : first) {
    if (target == kUnscored || (as_the_authors && target == options_.padding)) {
      target = kUnscored;
      continue;
    }
    ++read.scored;
    const int64_t band = bands_.of(target);
    if (band > 0) target = bands_.size(0) + band - 1;
  }
  read.first_level = Tensor::from(first, {n}).to(device());
  if (!as_the_authors || options_.padding < 0) return read;
  for (Tensor& ids : read.tails.ids) {
    std::vector<int64_t> counted(static_cast<size_t>(ids.numel()));
    const Tensor host = ids.to(Device::cpu());
    for (size_t i = 0; i < counted.size(); ++i) {
      const int64_t id = host.span<int64_t>()[i];
      counted[i] = id == options_.padding ? kUnscored : id;
    }
    ids = Tensor::from(counted, ids.shape()).to(device());
  }
  return read;
}

Var AdaptiveSoftmax::loss(const Var& features, const Tensor& targets) {
  const ErrorScope scope(*this);
  const Targets wanted = read(targets, true);
  const Var h = rows_of((*dropout_)(features));
  const int64_t samples = features.dim(0);
  const DType dtype = root_options().dtype;
  Var sum = cross_entropy(cast(head(h), dtype), wanted.first_level, costs(Reduction::Sum));
  for (size_t t = 0; t < tails_.size(); ++t) {
    const Tensor &places = wanted.tails.places[t + 1], &ids = wanted.tails.ids[t + 1];
    if (places.numel() == 0) continue;
    sum = add(sum, cross_entropy(cast((*tails_[t])(h, samples, places), dtype), ids, costs(Reduction::Sum)));
  }
  return scale(sum, wanted.scored > 0 ? 1 / static_cast<double>(wanted.scored) : 0);
}

Var AdaptiveSoftmax::target_log_probabilities(const Var& features, const Tensor& targets) {
  const ErrorScope scope(*this);
  const Targets wanted = read(targets, false);
  const Var h = rows_of((*dropout_)(features));
  const int64_t samples = features.dim(0);
  Var cost = cross_entropy(head(h), wanted.first_level, costs(Reduction::None));
  std::vector<Var> tails = {Var(Tensor::zeros({1}, cost.dtype(), device()))};
  for (size_t t = 0; t < tails_.size(); ++t) {
    const Tensor &places = wanted.tails.places[t + 1], &ids = wanted.tails.ids[t + 1];
    if (places.numel() > 0)
      tails.push_back(cross_entropy((*tails_[t])(h, samples, places), ids, costs(Reduction::None)));
  }
  if (tails.size() > 1) {
    const Var rows = concat(tails, 0);
    const Var within = embedding(reshape(rows, {rows.dim(0), 1}), wanted.tails.rows);
    cost = add(cost, reshape(within, cost.shape()));
  }
  return reshape(neg(cost), targets.shape());
}

Var AdaptiveSoftmax::log_probabilities(const Var& features) {
  const ErrorScope scope(*this);
  const Var h = rows_of((*dropout_)(features));
  const int64_t samples = features.dim(0);
  const Var first = log_softmax(head(h));
  const int64_t words = bands_.size(0);
  std::vector<Var> parts = {slice(first, 1, 0, words)};
  for (size_t t = 0; t < tails_.size(); ++t) {
    const auto column = words + static_cast<int64_t>(t);
    parts.push_back(
        add(log_softmax((*tails_[t])(h, samples, Tensor())), slice(first, 1, column, column + 1)));
  }
  return reshape(concat(parts, 1), features.shape().with(features.shape().rank() - 1, bands_.vocabulary()));
}

}  // namespace lathe
