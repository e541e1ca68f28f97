// Any bytes: a model or a FormatError. Checksums are repaired first, or nothing behind them would be reached.

#include "core/error.h"
#include "tests/fuzz/target.h"
#include "tests/quant/packed_files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const lathe::PackedLimits limits{.elements = 1 << 20};
  for (const bool repair : {false, true}) {
    std::vector<std::byte> file(bytes.begin(), bytes.end());
    if (repair) lathe::tests::reseal(file);
    try {
      const lathe::PackedModel model = lathe::parse_packed(file, "fuzz", limits);
      for (const lathe::PackedTensor& tensor : model.tensors) {
        if (const auto* codes = std::get_if<lathe::Codes>(&tensor.content)) lathe::decode(*codes);
      }
      lathe::packed_bytes(model);
    } catch (const lathe::FormatError&) {
    }
  }
  return 0;
}

namespace lathe::fuzz {

std::vector<std::vector<std::byte>> seeds() {
  using tests::make_codes;
  PackedModel mixed, groups, sparse;
  mixed.header.set("model", Value::string("m"));
  mixed.tensors = {{"a", make_codes({.bits = 2})},
                   {"b", Tensor::zeros({3})},
                   {"c", make_codes({.decoder = Decoder::Half, .shape = {5}, .bits = 16})}};
  groups.tensors = {{"g", make_codes({.decoder = Decoder::Range,
                                      .bits = 9,
                                      .group = 8,
                                      .bits_per_group = true,
                                      .pytorch_order = true})},
                    {"h", make_codes({.decoder = Decoder::ZeroPoint, .shape = {30, 40}, .bits = 3})}};
  Codes zeros = make_codes({.shape = {50, 50}, .bits = 2});
  std::fill_n(zeros.integers.mut<int32_t>(), 2400, 0);
  sparse.tensors = {{"z", zeros}};
  return {packed_bytes({}), packed_bytes(mixed), packed_bytes(groups), packed_bytes(sparse)};
}

}  // namespace lathe::fuzz
