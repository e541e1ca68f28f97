#include "autograd/ops/loss.h"

#include "autograd/op_cases.h"

namespace lathe {
namespace {

/// Targets 0, 3, 6, ... modulo the class count; every `ignored`-th one is `ignore_index` (0: none).
struct CrossEntropyRow {
  Reduction reduction = Reduction::Mean;
  double smoothing = 0;
  bool weighted = false;
  int64_t ignored = 0;
};

OpCase hard(std::string name, const Shape& logits, const CrossEntropyRow& row = {}) {
  return {.name = "cross_entropy " + name,
          .inputs = {{logits, -3, 3}},
          .apply = [row](const std::vector<Var>& in) {
            const Shape& shape = in[0].shape();
            const Shape rows(shape.dims().first(static_cast<size_t>(shape.rank() - 1)));
            std::vector<int64_t> targets;
            std::vector<double> weights;
            for (int64_t i = 0; i < rows.numel(); ++i) {
              targets.push_back(row.ignored > 0 && i % row.ignored == 0 ? -1 : i * 3 % shape[-1]);
            }
            for (int64_t c = 0; c < shape[-1]; ++c) weights.push_back(0.5 + 0.25 * static_cast<double>(c));
            CrossEntropyOptions options{.reduction = row.reduction,
                                        .label_smoothing = row.smoothing,
                                        .ignore_index = -1,
                                        .class_weights = {}};
            const Device device = in[0].data().device();
            if (row.weighted) {
              options.class_weights = Tensor::from(weights, {shape[-1]}).to(in[0].dtype()).to(device);
            }
            return cross_entropy(in[0], Tensor::from(targets, rows).to(device), options);
          }};
}

// Targets come out of the input tensor's leaf, which needs no gradient.
OpCase soft(std::string name, const Shape& logits) {
  return {.name = "soft_cross_entropy " + name,
          .inputs = {{logits, -3, 3}, {logits, 0, 0.5, false}},
          .apply = [](const std::vector<Var>& in) { return soft_cross_entropy(in[0], in[1].data()); }};
}

using Loss = Var (*)(const Var&, const Var&, Reduction);

OpCase pair(std::string name, Loss loss, const Shape& shape, Reduction reduction, const CaseInput& target) {
  return {.name = std::move(name),
          .inputs = {{shape}, target},
          .apply = [loss, reduction](const std::vector<Var>& in) { return loss(in[0], in[1], reduction); }};
}

}  // namespace

std::vector<OpCase> loss_cases() {
  const Shape odd{3, 5};
  return {
      hard("mean", {5, 4}),
      hard("one class", {3, 1}),
      hard("37 classes", {6, 37}),
      hard("sequence", {2, 5, 7}),
      hard("single row", {9}),
      hard("sum", {5, 4}, {.reduction = Reduction::Sum}),
      hard("none", {5, 4}, {.reduction = Reduction::None}),
      hard("smoothing", {5, 4}, {.smoothing = 0.1}),
      hard("ignored rows", {7, 4}, {.ignored = 3}),
      hard("every row ignored", {4, 3}, {.ignored = 1}),
      hard("weights", {5, 4}, {.weighted = true}),
      hard("weights, smoothing, ignored rows", {8, 5}, {.smoothing = 0.2, .weighted = true, .ignored = 3}),
      hard("all options, sum", {8, 5},
           {.reduction = Reduction::Sum, .smoothing = 0.2, .weighted = true, .ignored = 4}),
      hard("all options, none", {8, 5},
           {.reduction = Reduction::None, .smoothing = 0.2, .weighted = true, .ignored = 4}),
      hard("no rows", {0, 4}),
      soft("probabilities", {5, 4}),
      soft("sequence", {2, 3, 17}),
      pair("l1_loss mean", l1_loss, odd, Reduction::Mean, {odd, 1.5, 2}),
      pair("l1_loss sum", l1_loss, odd, Reduction::Sum, {odd, -2, -1.5}),
      pair("l1_loss none", l1_loss, odd, Reduction::None, {odd, 1.5, 2}),
      pair("mse_loss mean", mse_loss, odd, Reduction::Mean, {odd}),
      pair("mse_loss sum", mse_loss, {17}, Reduction::Sum, {{17}}),
      pair("mse_loss none", mse_loss, odd, Reduction::None, {odd}),
      pair("mse_loss nothing", mse_loss, {0, 2}, Reduction::Mean, {{0, 2}}),
      pair("bce_with_logits mean", bce_with_logits, odd, Reduction::Mean, {odd, 0, 1}),
      pair("bce_with_logits sum", bce_with_logits, odd, Reduction::Sum, {odd, 0, 1}),
      pair("bce_with_logits none", bce_with_logits, odd, Reduction::None, {odd, 0, 1}),
  };
}

}  // namespace lathe
