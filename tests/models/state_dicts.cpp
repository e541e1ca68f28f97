// Names, shapes, order, totals and multiply-accumulates of full-size models against the manifests of the
// originals, and weights in their form through an import and an export.

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include <doctest/doctest.h>

#include "core/files.h"
#include "core/json.h"
#include "layers/parameter.h"
#include "models/registry.h"
#include "tests/golden/model_compare.h"
#include "tests/support/golden.h"
#include "train/weights.h"

using namespace lathe;

TEST_SUITE_BEGIN("models");

namespace {

struct Row {
  const char* manifest;
  const char* section;
};
constexpr Row kRows[] = {
    {"resnet20_c10", R"({"type": "resnet20"})"},
    {"resnet20_c100", R"({"type": "resnet20", "classes": 100})"},
    {"cifar_resnet18_c10", R"({"type": "resnet18_cifar"})"},
    {"cifar_resnet18_c100", R"({"type": "resnet18_cifar", "classes": 100})"},
    {"wrn_28_10_c10", R"({"type": "wrn28_10"})"},
    {"wrn_28_10_c100", R"({"type": "wrn28_10", "classes": 100})"},
    {"cifar_mobilenet_c10", R"({"type": "mobilenetv1_cifar"})"},
    {"cifar_mobilenet_c100", R"({"type": "mobilenetv1_cifar", "classes": 100})"},
    {"tv_resnet18", R"({"type": "resnet18"})"},
    {"tv_resnet50", R"({"type": "resnet50"})"},
    {"mobilenetv1_100", R"({"type": "mobilenetv1"})"},
    {"efficientnet_b3", R"({"type": "efficientnet_b3"})"},
    {"tiny_vit_5m_224_c10", R"({"type": "tiny_vit_5m", "classes": 10})"},
    {"tiny_vit_5m_224_c200", R"({"type": "tiny_vit_5m", "classes": 200})"},
    {"tiny_vit_5m_224_c1000", R"({"type": "tiny_vit_5m"})"},
    {"cifar_vit_c10", R"({"type": "vit_cifar"})"},
    {"deit_tiny_patch16_224", R"({"type": "deit_tiny"})"},
    {"deit_tiny_distilled_patch16_224", R"({"type": "deit_tiny", "distilled": true})"},
    {"deit_small_patch16_224", R"({"type": "deit_small"})"},
    {"deit_base_patch16_224", R"({"type": "deit_base"})"},
    {"vit_tiny_patch16_224_c10", R"({"type": "vit_tiny", "classes": 10})"},
    {"vit_base_patch16_224_c10", R"({"type": "deit_base", "classes": 10})"},
    {"gpt_shakespeare_char", R"({"type": "gpt"})"},
    {"gpt2_small_124m", R"({"type": "gpt", "context": 1024, "vocab": 50257, "layers": 12, "heads": 12,
                            "width": 768, "dropout": 0.0, "bias": true})"},
    {"demucs_v2_64", R"({"type": "demucs"})"},
    {"demucs_v2_64_noresample", R"({"type": "demucs", "resample": false})"},
    {"lm_wiki103_adaptive", R"({"type": "transformer_lm_wiki103"})"},
};

// Of the originals, what the models need not have: counts, masks, versions and types.
bool is_left_out(const std::string& name) {
  return name.find("num_batches_tracked") != std::string::npos || name.ends_with(".attn.bias") ||
         name.ends_with(".version") || name.ends_with("._float_tensor");
}

std::unique_ptr<Model> build_meta(const char* section) {
  return model_registry().build(parse_json(section, "test"), {}, {.device = Device::meta()});
}

// The sample that the manifest counts, images channels last; its shape alone.
Tensor meta_sample(const Value& manifest) {
  const Shape shape = golden::read_shape(golden::need(manifest, "mac_input"));
  if (shape.rank() == 3) return Tensor::empty({1, shape[2], shape[1]}, DType::F32, Device::meta());
  if (shape.rank() == 2) return Tensor::empty(shape, DType::I64, Device::meta());
  return Tensor::empty({1, shape[2], shape[3], shape[1]}, DType::F32, Device::meta());
}

struct Named {
  std::string name;
  Shape shape;  // channels first
};

// PyTorch's order: a module's parameters, its buffers, then its children.
void list_state(const Module& module, std::vector<Named>& state) {
  for (const Parameter* p : module.own_parameters())
    state.push_back({p->path(), golden::file_shape(p->shape(), p->axes() != Axes::Plain)});
  for (const Buffer* b : module.own_buffers()) state.push_back({b->path(), b->data().shape()});
  for (const Module* child : module.children()) list_state(*child, state);
}

}  // namespace

TEST_CASE("state dicts are those of the originals") {
  const auto folder = tests::golden_folder("models/state_dicts");
  if (!folder) return;
  for (const Row& row : kRows) {
    CAPTURE(std::string(row.manifest));
    const Value manifest =
        parse_json(read_text(*folder / (std::string(row.manifest) + ".json")), row.manifest);
    const auto model = build_meta(row.section);
    std::vector<Named> ours, theirs;
    list_state(*model, ours);
    for (const Value& entry : golden::need(manifest, "state_dict").items()) {
      const std::string& name = golden::need(entry, "name").as_string();
      if (!is_left_out(name)) theirs.push_back({name, golden::read_shape(golden::need(entry, "shape"))});
    }
    REQUIRE(ours.size() == theirs.size());
    for (size_t i = 0; i < ours.size(); ++i) {
      CHECK(ours[i].name == theirs[i].name);
      CHECK_MESSAGE(ours[i].shape == theirs[i].shape, ours[i].name);
    }
    const std::vector<Parameter*> parameters = model->parameters();
    const auto untied =
        std::count_if(parameters.begin(), parameters.end(), [](const Parameter* p) { return !p->tied(); });
    CHECK(untied == golden::need(manifest, "n_param_tensors").as_int());
  }
}

TEST_CASE("models have as many parameters as the table of the originals says") {
  const auto folder = tests::golden_folder("models");
  if (!folder) return;
  const Value table = parse_json(read_text(*folder / "_param_counts.json"), "_param_counts");
  CHECK(table.members().size() == std::size(kRows));
  for (const Row& row : kRows) {
    CAPTURE(std::string(row.manifest));
    const auto model = build_meta(row.section);
    int64_t count = 0, tensors = 0;
    for (const Parameter* p : model->parameters()) {
      count += p->tied() ? 0 : p->numel();
      tensors += p->tied() ? 0 : 1;
    }
    const Value& counted = golden::need(table, row.manifest);
    CHECK(count == golden::need(counted, "params").as_int());
    CHECK(tensors == golden::need(counted, "param_tensors").as_int());
  }
}

TEST_CASE("a forward on the meta device costs what each layer of the original costs") {
  const auto folder = tests::golden_folder("models/state_dicts");
  if (!folder) return;
  for (const Row& row : kRows) {
    CAPTURE(std::string(row.manifest));
    const Value manifest =
        parse_json(read_text(*folder / (std::string(row.manifest) + ".json")), row.manifest);
    if (golden::need(manifest, "layers").is(Value::Type::Null)) continue;
    const auto model = build_meta(row.section);
    model->run().mode = Mode::Eval;
    const OpLog log;
    const Var y = model->forward({.inputs = {meta_sample(manifest)}, .size = 1});
    CHECK(y.data().device() == Device::meta());
    std::map<std::string, int64_t> macs;
    int64_t total = 0;
    for (const OpCall& call : log.calls()) {
      total += call.info.macs;
      macs[call.where.substr(0, call.where.find(' '))] += call.info.macs;
    }
    int64_t expected = golden::need(golden::need(manifest, "macs"), "total").as_int();
    for (const Value& layer : golden::need(manifest, "layers").items()) {
      const std::string& name = golden::need(layer, "name").as_string();
      const int64_t theirs = golden::need(layer, "macs").as_int();
      // TinyViT's windows stand where the samples do, and the manifests count one of them.
      const Shape out = golden::read_shape(golden::need(layer, "out"));
      const int64_t windows = name.find(".attn.") == std::string::npos ? 1 : out[0];
      CHECK_MESSAGE(macs[name] == windows * theirs, name);
      expected += (windows - 1) * theirs;
    }
    CHECK(total == expected);
  }
}

namespace {

// Numbers that no two tensors share, cheap to make.
Tensor filled(const Shape& shape, uint32_t k) {
  Tensor tensor = Tensor::empty(shape);
  float* x = tensor.mut<float>();
  uint32_t state = k * 2654435761U + 1;
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    state = state * 1664525U + 1013904223U;
    x[i] = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31F;
  }
  return tensor;
}

// fairseq's buffers that are no weights: versions as its sources have them, and a zero of the model's type.
Tensor mark(std::string_view name) {
  if (name == "decoder.version") return Tensor::full({1}, 3, DType::F32);
  if (name == "decoder.adaptive_softmax.version") return Tensor::full({1}, 1, DType::I64);
  return Tensor::zeros({1}, DType::F32);
}

// What PyTorch saves of the original: all of the manifest's tensors in its order, tied ones at each
// name.
std::vector<NamedTensor> original_state(const Value& manifest) {
  std::vector<NamedTensor> tensors;
  std::map<std::string, Tensor> by_name;
  for (const Value& entry : golden::need(manifest, "state_dict").items()) {
    const std::string& name = golden::need(entry, "name").as_string();
    const Shape shape = golden::read_shape(golden::need(entry, "shape"));
    if (name.ends_with(".attn.bias")) continue;  // a mask, which published files of that model lack too
    if (name.ends_with(".version") || name.ends_with("._float_tensor")) {
      tensors.push_back({name, mark(name)});
      continue;
    }
    if (golden::need(entry, "dtype").as_string() == "int64") {
      tensors.push_back({name, Tensor::zeros(shape, DType::I64)});
      continue;
    }
    const Value* owner = entry.find("tied_to");
    const bool tied = owner != nullptr && owner->is(Value::Type::String);
    const Tensor tensor =
        tied ? by_name.at(owner->as_string()) : filled(shape, static_cast<uint32_t>(tensors.size()));
    by_name.emplace(name, tensor);
    tensors.push_back({name, tensor});
  }
  return tensors;
}

void check_round_trip(const std::filesystem::path& folder, const Row& row) {
  const Value manifest = parse_json(read_text(folder / (std::string(row.manifest) + ".json")), row.manifest);
  const std::vector<NamedTensor> original = original_state(manifest);
  const auto model = model_registry().build(parse_json(row.section, "test"), {}, {.seed = 1});
  from_pytorch(*model, original, row.manifest);
  std::map<std::string, Tensor> ours;
  for (const NamedTensor& tensor : to_pytorch(*model)) ours[tensor.name] = tensor.tensor;
  for (const NamedTensor& tensor : original) {
    if (tensor.name.ends_with("num_batches_tracked") || tensor.name.ends_with("attention_bias_idxs"))
      continue;
    const auto found = ours.find(tensor.name);
    REQUIRE_MESSAGE(found != ours.end(), tensor.name);
    CHECK_MESSAGE(same_bits(found->second, tensor.tensor), tensor.name);
    ours.erase(found);
  }
  CHECK(ours.empty());
}

// Of the model's parameters, as its manifest counts them.
int64_t parameters_of(const std::filesystem::path& folder, const Row& row) {
  const Value manifest = parse_json(read_text(folder / (std::string(row.manifest) + ".json")), row.manifest);
  return golden::need(manifest, "params").as_int();
}

constexpr int64_t kLarge = 6'000'000;

void check_round_trips(bool large) {
  const auto folder = tests::golden_folder("models/state_dicts");
  if (!folder) return;
  for (const Row& row : kRows) {
    CAPTURE(std::string(row.manifest));
    if ((parameters_of(*folder, row) > kLarge) == large) check_round_trip(*folder, row);
  }
}

}  // namespace

TEST_CASE("every manifest is that of a model here") {
  const auto folder = tests::golden_folder("models/state_dicts");
  if (!folder) return;
  std::set<std::string> without;
  for (const auto& entry : std::filesystem::directory_iterator(*folder)) without.insert(entry.path().stem());
  for (const Row& row : kRows) CHECK_MESSAGE(without.erase(row.manifest) == 1, row.manifest);
  for (const std::string& name : without) FAIL_CHECK("no row for the manifest ", name);
}

TEST_CASE("a state dict of an original comes back with the same bits") {
  check_round_trips(false);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("slow models");

TEST_CASE("a state dict of a large original comes back with the same bits") {
  check_round_trips(true);
}

TEST_SUITE_END();
