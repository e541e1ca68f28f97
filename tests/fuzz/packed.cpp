// Any bytes: a model or a FormatError. Lengths and checksums are repaired first, or nothing behind them would
// be reached; what is accepted is written and read again.

#include <cstdlib>

#include "core/error.h"
#include "tests/fuzz/target.h"
#include "tests/quant/packed_files.h"

namespace {

/// Gives the last section the bytes that the others leave, so that insertions keep a file whole.
void fit_last_section(std::span<std::byte> file) {
  if (file.size() < 88) return;
  uint64_t lengths[4], left = file.size() - 88;
  std::memcpy(lengths, file.data() + 16, sizeof lengths);
  for (size_t i = 0; i < 3; ++i) {
    if (lengths[i] > left) return;
    left -= lengths[i];
  }
  lengths[3] = left;
  std::memcpy(file.data() + 16, lengths, sizeof lengths);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const lathe::PackedLimits limits{.elements = 1 << 20};
  for (const bool repair : {false, true}) {
    std::vector<std::byte> file(bytes.begin(), bytes.end());
    if (repair) {
      fit_last_section(file);
      lathe::tests::reseal(file);
    }
    try {
      const lathe::PackedModel model = lathe::parse_packed(file, "fuzz", limits);
      for (const lathe::PackedTensor& tensor : model.tensors) {
        if (const auto* codes = std::get_if<lathe::Codes>(&tensor.content)) lathe::decode(*codes);
      }
      lathe::parse_packed(lathe::packed_bytes(model), "what was written", limits);
    } catch (const lathe::FormatError& error) {
      // Codes that were read can be written, and read again.
      if (std::string_view(error.what()).starts_with("what was written")) std::abort();
      if (std::string_view(error.what()).starts_with("packed model")) std::abort();
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
