#pragma once
// The safetensors container (https://github.com/huggingface/safetensors): 8 bytes of header length, a JSON
// header, one contiguous buffer. Strict: what this reader accepts has exactly one meaning.

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace lathe {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

struct TensorFile {
  std::vector<NamedTensor> tensors;  ///< in the order of their data
  std::map<std::string, std::string> metadata;

  /// Tensor by name; null when there is none.
  const Tensor* find(std::string_view name) const;
};

/// Reads and checks a whole file. FormatError, naming file, tensor, found and expected, when: the file is
/// shorter than 8 bytes; the header is over 100 MB, longer than the file, not a JSON object starting with
/// '{', or has duplicate names or unknown keys; a dtype is not in the list below; a shape is negative, has
/// more than 8 axes or its product overflows; tensors overlap, leave holes, differ from their shape's bytes,
/// or do not end at the end of the file. IoError when it cannot be read.
///
/// F16 and BF16 are widened to f32; I16, I8, BOOL (0 or 1), U16 and U32 to i64; U8, I32, I64, F32 and F64 are
/// kept.
TensorFile read_safetensors(const std::filesystem::path& path);
/// The same of a file's content; `source` stands for the path in messages.
TensorFile parse_safetensors(std::span<const std::byte> bytes, std::string_view source);

/// Writes atomically (core/files.h). Tensors stand in the order given; the same tensors give the same bytes.
/// The header is padded with spaces so that the data start at a multiple of 8. FormatError for two tensors of
/// one name or a name that is not UTF-8.
void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace lathe
