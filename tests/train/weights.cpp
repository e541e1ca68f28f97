#include "train/weights.h"

#include <cstring>
#include <functional>

#include <doctest/doctest.h>

#include "core/error.h"
#include "layers/conv.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/model.h"
#include "layers/norm.h"
#include "models/registry.h"
#include "tests/support/scratch.h"
#include "train/model_info.h"

using lathe::Axes;
using lathe::DType;
using lathe::NamedTensor;
using lathe::Shape;
using lathe::Tensor;
using lathe::tests::ScratchFolder;

namespace {

lathe::RootOptions seeded(uint64_t seed, DType dtype = DType::F32) {
  return {.seed = seed, .dtype = dtype};
}

/// A layer of each kind that matters here.
struct Net : lathe::Module {
  explicit Net(uint64_t seed, DType dtype = DType::F32) : Module(seeded(seed, dtype)) {}
  lathe::Conv2d conv{*this, "conv", 4, 6, {.kernel = 3, .groups = 2, .bias = true}};
  lathe::BatchNorm bn{*this, "bn", 6};
  lathe::Linear fc{*this, "fc", 6, 5};
  lathe::Parameter up{
      *this, "up", {.shape = {3, 2, 2, 5}, .init = lathe::init::normal(1), .axes = Axes::ConvTranspose}};
};

struct TiedNet : lathe::Module {
  explicit TiedNet(uint64_t seed) : Module(seeded(seed)) { head.tie(table); }
  lathe::Parameter table{*this, "table", {.shape = {3, 2}, .init = lathe::init::normal(1)}};
  lathe::Parameter head{*this, "head", {.shape = {3, 2}, .init = lathe::init::normal(1)}};
};

std::vector<NamedTensor> without(std::vector<NamedTensor> tensors, const std::string& name) {
  std::erase_if(tensors, [&](const NamedTensor& tensor) { return tensor.name == name; });
  return tensors;
}

NamedTensor& named(std::vector<NamedTensor>& tensors, const std::string& name) {
  for (NamedTensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::runtime_error("no tensor " + name);
}

bool same_weights(const lathe::Module& a, const lathe::Module& b) {
  const auto pa = a.parameters(), pb = b.parameters();
  const auto ba = a.buffers(), bb = b.buffers();
  if (pa.size() != pb.size() || ba.size() != bb.size()) return false;
  bool same = true;
  for (size_t i = 0; i < pa.size(); ++i) same = same && same_bits(pa[i]->raw().data(), pb[i]->raw().data());
  for (size_t i = 0; i < ba.size(); ++i) same = same && same_bits(ba[i]->data(), bb[i]->data());
  return same;
}

std::string error_of(lathe::Module& model, const std::vector<NamedTensor>& tensors) {
  try {
    lathe::from_pytorch(model, tensors, "w.safetensors");
  } catch (const lathe::FormatError& error) {
    const std::string message = error.what(), start = "w.safetensors: the weights do not fit the model: ";
    return message.starts_with(start) ? message.substr(start.size()) : message;
  }
  return "no error";
}

}  // namespace

TEST_SUITE_BEGIN("train");

TEST_CASE("weights: PyTorch's names and layouts") {
  const Net net(1);
  std::vector<NamedTensor> tensors = lathe::to_pytorch(net);
  std::vector<std::string> names;
  for (const NamedTensor& tensor : tensors) names.push_back(tensor.name);
  CHECK(names == std::vector<std::string>{"up", "conv.weight", "conv.bias", "bn.weight", "bn.bias",
                                          "fc.weight", "fc.bias", "bn.running_mean", "bn.running_var"});
  const Tensor& theirs = named(tensors, "conv.weight").tensor;
  const Tensor& ours = net.find_parameter("conv.weight")->raw().data();
  REQUIRE(ours.shape() == Shape{6, 3, 3, 2});
  REQUIRE(theirs.shape() == Shape{6, 2, 3, 3});
  const auto at = [](const Tensor& t, int64_t a, int64_t b, int64_t c, int64_t d) {
    return t.ptr<float>()[((a * t.dim(1) + b) * t.dim(2) + c) * t.dim(3) + d];
  };
  bool same = true;
  for (int64_t o = 0; o < 6; ++o) {
    for (int64_t y = 0; y < 3; ++y) {
      for (int64_t x = 0; x < 3; ++x) {
        for (int64_t i = 0; i < 2; ++i) same = same && at(theirs, o, i, y, x) == at(ours, o, y, x, i);
      }
    }
  }
  CHECK(same);
  // Transposed convolution: ours (in, k, k, out), theirs (in, out, k, k).
  const Tensor& up = net.find_parameter("up")->raw().data();
  CHECK(named(tensors, "up").tensor.shape() == Shape{3, 5, 2, 2});
  CHECK(at(named(tensors, "up").tensor, 2, 4, 1, 0) == at(up, 2, 1, 0, 4));
  CHECK(named(tensors, "fc.weight").tensor.shape() == Shape{5, 6});
}

TEST_CASE("weights: what is exported imports with the same bits") {
  const ScratchFolder scratch;
  const Net net(1);
  Net other(2);
  REQUIRE_FALSE(same_weights(net, other));
  lathe::export_weights(net, scratch / "w.safetensors");
  CHECK(lathe::read_safetensors(scratch / "w.safetensors").metadata.at("format") == "pt");
  lathe::import_weights(other, scratch / "w.safetensors");
  CHECK(same_weights(net, other));
}

TEST_CASE("weights: every model survives export and import") {
  const ScratchFolder scratch;
  for (const auto& entry : lathe::model_registry().entries()) {
    CAPTURE(entry.name);
    const lathe::Value section = lathe::Value::object({{"type", lathe::Value::string(entry.name)}});
    if (lathe::describe_model(section, {"", "model"}, lathe::model_input_shape(entry.name)).parameter_count >
        6'000'000)
      continue;  // the same layers, but large
    const auto model = lathe::model_registry().build(section, {"", "model"}, seeded(1));
    const auto other = lathe::model_registry().build(section, {"", "model"}, seeded(2));
    lathe::export_weights(*model, scratch / "w.safetensors");
    REQUIRE_FALSE(same_weights(*model, *other));
    lathe::import_weights(*other, scratch / "w.safetensors");
    CHECK(same_weights(*model, *other));
  }
}

TEST_CASE("weights: an import does not share memory with what was given") {
  const Net net(1);
  std::vector<NamedTensor> tensors = lathe::to_pytorch(net);
  Net other(2);
  lathe::from_pytorch(other, tensors, "w");
  other.find_parameter("fc.weight")->raw().mutable_data().mut<float>()[0] = 42;
  other.find_parameter("conv.weight")->raw().mutable_data().mut<float>()[0] = 42;
  CHECK(named(tensors, "fc.weight").tensor.ptr<float>()[0] != 42);
  CHECK(net.find_parameter("conv.weight")->raw().data().ptr<float>()[0] != 42);
}

TEST_CASE("weights: what PyTorch adds is tolerated") {
  const Net net(1);
  std::vector<NamedTensor> tensors = lathe::to_pytorch(net);
  tensors.push_back({"bn.num_batches_tracked", Tensor::from(std::vector<int64_t>{7}, {})});
  for (NamedTensor& tensor : tensors) tensor.name = "module." + tensor.name;
  Net other(2);
  CHECK(error_of(other, tensors) == "no error");
  CHECK(same_weights(net, other));

  tensors[0].name = tensors[0].name.substr(7);  // a prefix that only some have is none
  CHECK(error_of(other, tensors) != "no error");
  tensors = lathe::to_pytorch(net);
  tensors.push_back({"fc.num_batches_tracked", Tensor::from(std::vector<int64_t>{7}, {})});
  CHECK(error_of(other, tensors) == "'fc.num_batches_tracked' of shape () is not in the model");
}

TEST_CASE("weights: numbers are converted to the model's type") {
  const Net net(1);
  Net wide(2, DType::F64);
  lathe::from_pytorch(wide, lathe::to_pytorch(net), "w");
  Net back(3);
  lathe::from_pytorch(back, lathe::to_pytorch(wide), "w");
  CHECK(same_weights(net, back));
}

TEST_CASE("weights: everything that does not fit is listed, and nothing is changed") {
  const Net untouched(2);
  Net model(2);
  const std::vector<NamedTensor> all = lathe::to_pytorch(Net(1));
  const auto changed = [&](const std::function<void(std::vector<NamedTensor>&)>& change) {
    std::vector<NamedTensor> tensors = all;
    change(tensors);
    return error_of(model, tensors);
  };
  CHECK(error_of(model, without(all, "bn.running_var")) == "'bn.running_var' of shape (6) is missing");
  CHECK(changed([](auto& t) {
          t.push_back({"head.weight", Tensor::zeros({2, 3})});
        }) == "'head.weight' of shape (2, 3) is not in the model");
  CHECK(changed([](auto& t) { named(t, "conv.weight").name = "conv.weigth"; }) ==
        "'conv.weight' of shape (6, 2, 3, 3) is missing (there is 'conv.weigth'); "
        "'conv.weigth' of shape (6, 2, 3, 3) is not in the model (which has 'conv.weight')");
  CHECK(changed([](auto& t) {
          named(t, "fc.weight").tensor = Tensor::zeros({7, 6});
        }) == "'fc.weight' has shape (7, 6), the model expects (5, 6)");
  CHECK(changed([](auto& t) {
          named(t, "conv.weight").tensor = Tensor::zeros({6, 3, 3, 2});
        }) == "'conv.weight' has shape (6, 3, 3, 2), the model expects (6, 2, 3, 3)");
  CHECK(changed([](auto& t) { named(t, "fc.bias").tensor = Tensor::zeros({5}, DType::I64); }) ==
        "'fc.bias' holds i64, not real numbers");
  const std::string none = error_of(model, {});
  const std::string ninth = "; and 1 more: 'bn.running_var'";
  CHECK(none.find(ninth) == none.size() - ninth.size());
  CHECK(same_weights(model, untouched));
}

TEST_CASE("weights: tied parameters stand at each name, and one is enough") {
  const TiedNet net(1);
  std::vector<NamedTensor> tensors = lathe::to_pytorch(net);
  REQUIRE(tensors.size() == 2);
  CHECK(same_bits(tensors[0].tensor, tensors[1].tensor));
  for (const auto& given : {tensors, without(tensors, "head"), without(tensors, "table")}) {
    TiedNet other(2);
    CHECK(error_of(other, given) == "no error");
    CHECK(same_weights(net, other));
    CHECK(&other.head.owner() == &other.table);
  }
  TiedNet other(2);
  named(tensors, "head").tensor = Tensor::zeros({3, 2});
  CHECK(error_of(other, tensors) == "'head' differs from 'table', to which it is tied");
  CHECK(error_of(other, {}) == "'table' of shape (3, 2) is missing");
}

TEST_SUITE_END();
