// Weights under the names of other libraries.

#include "train/published_names.h"

#include <string>

#include <doctest/doctest.h>

#include "core/json.h"
#include "layers/parameter.h"
#include "models/registry.h"
#include "train/weights.h"

using namespace lathe;

TEST_SUITE_BEGIN("train");

namespace {

constexpr const char* kVit =
    R"({"type": "vit_tiny", "image": 32, "patch": 8, "width": 12, "depth": 2, "heads": 3, "classes": 5})";
constexpr const char* kDistilled =
    R"({"type": "vit_tiny", "image": 32, "patch": 8, "width": 12, "depth": 2, "heads": 3, "classes": 5,
        "distilled": true})";

std::unique_ptr<Model> build(const char* section, uint64_t seed) {
  return model_registry().build(parse_json(section, "test"), {}, {.seed = seed});
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

// Rows [third n / 3, (third + 1) n / 3).
Tensor rows_of(const Tensor& x, int64_t third) {
  const int64_t rows = x.dim(0) / 3, row = x.numel() / x.dim(0);
  const float* from = x.ptr<float>() + third * rows * row;
  return Tensor::from(std::vector<float>(from, from + rows * row), x.shape().with(0, rows));
}

// The model's weights as Hugging Face's transformers saves them.
std::vector<NamedTensor> as_transformers(const Model& model, const std::string& prefix) {
  std::vector<NamedTensor> tensors;
  for (const NamedTensor& tensor : to_pytorch(model)) {
    std::string name = tensor.name;
    if (name.starts_with("blocks.")) {
      name = replaced(name, "blocks.", prefix + "encoder.layer.");
      name = replaced(name, "attn.proj.", "attention.output.dense.");
      name = replaced(name, "mlp.fc1.", "intermediate.dense.");
      name = replaced(name, "mlp.fc2.", "output.dense.");
      name = replaced(name, "norm1.", "layernorm_before.");
      name = replaced(name, "norm2.", "layernorm_after.");
    } else if (name.starts_with("head_dist.")) {
      name = replaced(name, "head_dist.", "distillation_classifier.");
    } else if (name.starts_with("head.")) {
      name = replaced(name, "head.", prefix == "deit." ? "cls_classifier." : "classifier.");
    } else {
      name = replaced(name, "dist_token", "distillation_token");
      name = replaced(name, "pos_embed", "position_embeddings");
      name = replaced(name, "patch_embed.proj.", "patch_embeddings.projection.");
      name =
          prefix + (name.starts_with("norm.") ? replaced(name, "norm.", "layernorm.") : "embeddings." + name);
    }
    const int64_t kThirds = name.find("attn.qkv.") != std::string::npos ? 3 : 1;
    constexpr const char* kNames[] = {"query.", "key.", "value."};
    for (int64_t third = 0; third < kThirds; ++third) {
      tensors.push_back(
          {kThirds == 1 ? name
                        : replaced(name, "attn.qkv.", std::string("attention.attention.") + kNames[third]),
           kThirds == 1 ? tensor.tensor : rows_of(tensor.tensor, third)});
    }
  }
  return tensors;
}

bool same_weights(const Model& a, const Model& b) {
  const auto pa = a.parameters(), pb = b.parameters();
  for (size_t i = 0; i < pa.size(); ++i) {
    if (!same_bits(pa[i]->raw().data(), pb.at(i)->raw().data())) return false;
  }
  return pa.size() == pb.size();
}

}  // namespace

TEST_CASE("published names: vision transformers of transformers") {
  for (const auto& [section, prefix] : {std::pair(kVit, "vit."), std::pair(kDistilled, "deit.")}) {
    CAPTURE(std::string(prefix));
    const auto model = build(section, 1), other = build(section, 2);
    REQUIRE_FALSE(same_weights(*model, *other));
    from_pytorch(*other, as_transformers(*model, prefix), "w");
    CHECK(same_weights(*model, *other));
  }
}

TEST_CASE("published names: what lacks its partners keeps its name") {
  const auto model = build(kVit, 1);
  std::vector<NamedTensor> tensors = as_transformers(*model, "vit.");
  std::erase_if(tensors, [](const NamedTensor& tensor) {
    return tensor.name == "vit.encoder.layer.1.attention.attention.key.bias";
  });
  try {
    from_pytorch(*model, tensors, "w");
    FAIL("expected a FormatError");
  } catch (const FormatError& error) {
    const std::string message = error.what();
    CHECK(message.find("'blocks.1.attn.qkv.bias' of shape (36) is missing") != std::string::npos);
    CHECK(message.find("'vit.encoder.layer.1.attention.attention.query.bias' of shape (12) is not in the "
                       "model") != std::string::npos);
  }
}

TEST_CASE("published names: wrappers of every name") {
  const auto model = build(kVit, 1);
  for (const std::string prefix : {"", "module.", "state_dict.module.", "model.", "_orig_mod.module."}) {
    CAPTURE(prefix);
    std::vector<NamedTensor> tensors = to_pytorch(*model);
    for (NamedTensor& tensor : tensors) tensor.name.insert(0, prefix);
    CHECK(wrapper_prefix(tensors) == prefix);
    const auto other = build(kVit, 2);
    from_pytorch(*other, tensors, "w");
    CHECK(same_weights(*model, *other));
    tensors.back().name = "stranger";
    CHECK(wrapper_prefix(tensors).empty());
  }
  CHECK(wrapper_prefix({}).empty());
}

TEST_SUITE_END();
