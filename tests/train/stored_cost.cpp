// Bit operations of whole networks: every product counts, with the widths of what it multiplies.

#include "train/stored_cost.h"

#include <doctest/doctest.h>

#include "core/json.h"
#include "models/registry.h"
#include "quant/activation.h"
#include "quant/attach.h"
#include "train/packing.h"

using namespace lathe;

namespace {

/// Of a "model" section for samples of this shape under a "quant" section.
StoredCost cost_of(const char* model_section, const Shape& sample, const char* quant) {
  const Value section = parse_json(model_section, "test");
  const std::unique_ptr<Model> model = model_registry().build(section, {}, {});
  attach_quantizers(*model, parse_json(quant, "test"), {"test", "quant"});
  PackedHeader header;
  header.name = "test";
  header.model = section;
  return stored_cost(pack_model(to_value(header), *model), describe_model(section, {"test", "model"}, sample),
                     activation_bits(*model));
}

const StoredLayerCost& layer(const StoredCost& cost, std::string_view name) {
  for (const StoredLayerCost& row : cost.layers) {
    if (row.layer.name == name) return row;
  }
  FAIL("no layer ", name);
  return cost.layers.front();
}

constexpr auto kMac = static_cast<size_t>(Bops::Mac);

}  // namespace

TEST_SUITE_BEGIN("train");

TEST_CASE("weights of an LSTM and of an adaptive softmax count with their bits") {
  const char* four = R"({"rules": [{"kind": "any", "type": "minmax", "bits": 4}]})";
  const StoredCost demucs = cost_of(R"({"type": "demucs", "channels": 8, "depth": 2})", {4000, 2}, four);
  CHECK(demucs.relative_bops[kMac] == doctest::Approx(4.0 / 32));
  CHECK(layer(demucs, "lstm.lstm").weight.bits == doctest::Approx(4));

  const char* text = R"({"type": "transformer_lm", "vocab": 60, "cutoffs": [20, 40], "factor": 2, "width": 16,
                         "layers": 1, "heads": 2, "ffn": 32, "context": 8})";
  const StoredCost words = cost_of(text, {8}, four);
  CHECK(layer(words, "decoder.adaptive_softmax.head").weight.bits == doctest::Approx(4));
  double rest = 0;  // attention multiplies activations
  for (const StoredLayerCost& row : words.layers) {
    if (row.weight.elements == 0)
      rest += row.bops[kMac];
    else
      CHECK(row.bops[kMac] == doctest::Approx(row.dense_bops[kMac] / 8));
  }
  CHECK(rest > 0);
}

TEST_CASE("attention counts the widths of both of its operands") {
  const char* vit = R"({"type": "vit_cifar", "width": 16, "depth": 1, "heads": 2, "mlp": 32})";
  const StoredCost plain = cost_of(vit, {32, 32, 3}, "null");
  CHECK(plain.relative_bops[kMac] == doctest::Approx(1));
  const StoredCost eight = cost_of(vit, {32, 32, 3}, R"({"activations": [{"type": "minmax", "bits": 8}]})");
  int64_t products = 0;
  for (const StoredLayerCost& row : eight.layers) {
    const bool attention = row.weight.elements == 0;
    products += attention ? 1 : 0;
    CAPTURE(row.layer.name);
    CHECK(row.bops[kMac] == doctest::Approx(row.dense_bops[kMac] / (attention ? 16 : 4)));
  }
  CHECK(products == 1);
}

TEST_CASE("what recurs in an LSTM stays float when its input is quantized") {
  const StoredCost cost = cost_of(R"({"type": "demucs", "channels": 8, "depth": 2})", {4000, 2},
                                  R"({"activations": [{"type": "minmax", "bits": 8}]})");
  const StoredLayerCost& lstm = layer(cost, "lstm.lstm");
  CHECK(lstm.activation_bits > 8);
  CHECK(lstm.activation_bits < 32);
  CHECK(lstm.bops[kMac] == doctest::Approx(lstm.dense_bops[kMac] * lstm.activation_bits / 32));
}

TEST_SUITE_END();
