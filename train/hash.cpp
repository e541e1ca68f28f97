#include "train/hash.h"

#define XXH_INLINE_ALL
#include <algorithm>
#include <memory>
#include <vector>

#include <xxhash.h>

#include "core/files.h"

namespace lathe {
namespace {

std::string to_hex(uint64_t hash) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (size_t i = text.size(); i-- > 0; hash >>= 4) text[i] = kDigits[hash & 15];
  return text;
}

}  // namespace

std::string hash_hex(std::span<const std::byte> bytes) {
  return to_hex(XXH64(bytes.data(), bytes.size(), 0));
}

std::string hash_hex(std::string_view text) {
  return hash_hex(std::as_bytes(std::span(text.data(), text.size())));
}

std::string hash_file(const std::filesystem::path& path) {
  constexpr uint64_t kPiece = 1 << 20;
  InputFile file(path);
  std::vector<std::byte> piece(static_cast<size_t>(std::min(kPiece, file.size())));
  XXH64_state_t state;
  XXH64_reset(&state, 0);
  for (uint64_t left = file.size(); left > 0;) {
    const std::span<std::byte> bytes(piece.data(), static_cast<size_t>(std::min(kPiece, left)));
    file.read(bytes);
    XXH64_update(&state, bytes.data(), bytes.size());
    left -= bytes.size();
  }
  return to_hex(XXH64_digest(&state));
}

}  // namespace lathe
