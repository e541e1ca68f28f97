#include "train/published_names.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>

#include "autograd/ops/shape.h"
#include "core/error.h"

namespace lathe {
namespace {

struct Renaming {
  std::string_view theirs, ours;
};

/// Outside the blocks, behind "vit." or "deit.".
constexpr std::array<Renaming, 5> kEmbeddings = {
    {{"embeddings.cls_token", "cls_token"},
     {"embeddings.distillation_token", "dist_token"},
     {"embeddings.position_embeddings", "pos_embed"},
     {"embeddings.patch_embeddings.projection.", "patch_embed.proj."},
     {"layernorm.", "norm."}}};
/// Without that prefix.
constexpr std::array<Renaming, 3> kHeads = {
    {{"classifier.", "head."}, {"cls_classifier.", "head."}, {"distillation_classifier.", "head_dist."}}};
/// Inside a block.
constexpr std::array<Renaming, 6> kBlocks = {{{"attention.output.dense.", "attn.proj."},
                                              {"intermediate.dense.", "mlp.fc1."},
                                              {"output.dense.", "mlp.fc2."},
                                              {"layernorm_before.", "norm1."},
                                              {"layernorm_after.", "norm2."},
                                              {"attention.attention.", "attn."}}};
constexpr std::string_view kBlock = "encoder.layer.";
constexpr std::array<std::string_view, 2> kPrefixes = {"vit.", "deit."};
constexpr std::array<std::string_view, 3> kThirds = {"query.", "key.", "value."};

template <size_t N>
std::optional<std::string> renamed(std::string_view name, const std::array<Renaming, N>& table) {
  for (const Renaming& row : table) {
    if (name.starts_with(row.theirs)) return concat(row.ours, name.substr(row.theirs.size()));
  }
  return std::nullopt;
}

/// Of "vit.encoder.layer.3.output.dense.bias" "blocks.3.mlp.fc2.bias"; of a third of a projection
/// "blocks.3.attn.query.weight".
std::optional<std::string> our_name(std::string_view name) {
  if (auto head = renamed(name, kHeads)) return head;
  const auto prefix = std::find_if(kPrefixes.begin(), kPrefixes.end(),
                                   [&](std::string_view candidate) { return name.starts_with(candidate); });
  if (prefix == kPrefixes.end()) return std::nullopt;
  name.remove_prefix(prefix->size());
  if (!name.starts_with(kBlock)) return renamed(name, kEmbeddings);
  name.remove_prefix(kBlock.size());
  const size_t dot = std::min(name.find('.'), name.size() - 1);
  const auto inner = renamed(name.substr(dot + 1), kBlocks);
  if (!inner) return std::nullopt;
  return concat("blocks.", name.substr(0, dot), ".", *inner);
}

bool from_transformers(std::span<const NamedTensor> tensors) {
  return std::any_of(tensors.begin(), tensors.end(), [](const NamedTensor& tensor) {
    return std::any_of(kPrefixes.begin(), kPrefixes.end(), [&](std::string_view prefix) {
      return tensor.name.starts_with(concat(prefix, kBlock));
    });
  });
}

/// Of "blocks.3.attn.query.weight" which third it is, and the name "blocks.3.attn.qkv.weight".
std::optional<std::pair<size_t, std::string>> third_of(const std::string& name) {
  constexpr std::string_view kAttention = ".attn.";
  const size_t at = name.find(kAttention);
  if (at == std::string::npos) return std::nullopt;
  const size_t leaf = at + kAttention.size();
  for (size_t i = 0; i < kThirds.size(); ++i) {
    if (name.compare(leaf, kThirds[i].size(), kThirds[i]) == 0)
      return std::pair(i, concat(name.substr(0, leaf), "qkv.", name.substr(leaf + kThirds[i].size())));
  }
  return std::nullopt;
}

using Thirds = std::array<const NamedTensor*, 3>;

bool stackable(const Thirds& thirds) {
  return std::all_of(thirds.begin(), thirds.end(), [&](const NamedTensor* third) {
    return third != nullptr && thirds[0] != nullptr && third->tensor.rank() > 0 &&
           third->tensor.shape() == thirds[0]->tensor.shape() &&
           third->tensor.dtype() == thirds[0]->tensor.dtype() && is_floating(third->tensor.dtype());
  });
}

}  // namespace

std::vector<NamedTensor> with_our_names(std::span<const NamedTensor> tensors) {
  if (!from_transformers(tensors)) return {tensors.begin(), tensors.end()};
  std::vector<NamedTensor> result;
  std::map<std::string, Thirds> projections;
  for (const NamedTensor& tensor : tensors) {
    const std::optional<std::string> name = our_name(tensor.name);
    const auto third = name ? third_of(*name) : std::nullopt;
    if (third) {
      projections[third->second][third->first] = &tensor;
    } else {
      result.push_back({name.value_or(tensor.name), tensor.tensor});
    }
  }
  const NoGrad no_grad;
  for (const auto& [name, thirds] : projections) {
    if (stackable(thirds)) {
      const Var stacked = concat({Var(thirds[0]->tensor), Var(thirds[1]->tensor), Var(thirds[2]->tensor)}, 0);
      result.push_back({name, stacked.data()});
      continue;
    }
    for (const NamedTensor* third : thirds) {
      if (third != nullptr) result.push_back(*third);
    }
  }
  return result;
}

std::string_view wrapper_prefix(std::span<const NamedTensor> tensors) {
  constexpr std::array<std::string_view, 4> kWrappers = {"module.", "model.", "state_dict.", "_orig_mod."};
  if (tensors.empty()) return {};
  const std::string_view first = tensors.front().name;
  const auto all_begin_with = [&](std::string_view prefix) {
    return std::all_of(tensors.begin(), tensors.end(),
                       [&](const NamedTensor& tensor) { return tensor.name.starts_with(prefix); });
  };
  size_t length = 0;
  for (bool longer = true; longer;) {
    longer = false;
    for (const std::string_view wrapper : kWrappers) {
      const std::string_view prefix = first.substr(0, length + wrapper.size());
      if (!prefix.ends_with(wrapper) || prefix.size() != length + wrapper.size() || !all_begin_with(prefix))
        continue;
      length = prefix.size();
      longer = true;
    }
  }
  return first.substr(0, length);
}

}  // namespace lathe
