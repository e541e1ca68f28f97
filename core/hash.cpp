#include "core/hash.h"

#define XXH_INLINE_ALL
#include <algorithm>
#include <vector>

#include <xxhash.h>

#include "core/files.h"

namespace lathe {

struct Hash::State {
  XXH64_state_t xxh;
};

Hash::Hash(uint64_t seed) : state_(std::make_unique<State>()) {
  XXH64_reset(&state_->xxh, seed);
}

Hash::~Hash() = default;

void Hash::add(std::span<const std::byte> bytes) {
  XXH64_update(&state_->xxh, bytes.data(), bytes.size());
}

uint64_t Hash::value() const {
  return XXH64_digest(&state_->xxh);
}

std::string Hash::hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text(16, '0');
  uint64_t rest = value();
  for (size_t i = text.size(); i-- > 0; rest >>= 4) text[i] = kDigits[rest & 15];
  return text;
}

uint64_t hash_of(std::span<const std::byte> bytes, uint64_t seed) {
  return XXH64(bytes.data(), bytes.size(), seed);
}

std::string hash_hex(std::string_view text) {
  Hash hash;
  hash.add(std::as_bytes(std::span(text.data(), text.size())));
  return hash.hex();
}

std::string hash_file(const std::filesystem::path& path) {
  constexpr uint64_t kPiece = 1 << 20;
  InputFile file(path);
  std::vector<std::byte> piece(static_cast<size_t>(std::min(kPiece, file.size())));
  Hash hash;
  for (uint64_t left = file.size(); left > 0;) {
    const std::span<std::byte> bytes(piece.data(), static_cast<size_t>(std::min(kPiece, left)));
    file.read(bytes);
    hash.add(bytes);
    left -= bytes.size();
  }
  return hash.hex();
}

}  // namespace lathe
