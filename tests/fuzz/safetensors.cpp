// Any bytes: tensors or a FormatError.

#include "core/safetensors.h"

#include "core/error.h"
#include "core/files.h"
#include "tests/fuzz/target.h"
#include "tests/support/scratch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    lathe::parse_safetensors(std::as_bytes(std::span(data, size)), "fuzz");
  } catch (const lathe::FormatError&) {
  }
  return 0;
}

namespace lathe::fuzz {

std::vector<std::vector<std::byte>> seeds() {
  const tests::ScratchFolder scratch;
  const std::vector<NamedTensor> tensors = {{"a", Tensor::zeros({2, 3})},
                                            {"b", Tensor::full({5}, 2, DType::U8)},
                                            {"empty", Tensor::empty({0, 4}, DType::I64)}};
  write_safetensors(scratch / "f", tensors, {{"format", "pt"}});
  write_safetensors(scratch / "g", {});
  const std::string narrow = R"({"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},)"
                             R"("k":{"dtype":"BOOL","shape":[1],"data_offsets":[4,5]}})";
  const uint64_t length = narrow.size();
  std::string text(reinterpret_cast<const char*>(&length), sizeof length);
  text += narrow + std::string(5, '\1');
  const auto bytes = std::as_bytes(std::span(text));
  return {read_bytes(scratch / "f"), read_bytes(scratch / "g"), {bytes.begin(), bytes.end()}};
}

}  // namespace lathe::fuzz
