#pragma once
// xxHash64, for integrity and identity; no defence against an attacker.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace lathe {

/// The hash of bytes that arrive in pieces; where the pieces end does not matter.
class Hash {
 public:
  explicit Hash(uint64_t seed = 0);
  Hash(const Hash&) = delete;
  Hash& operator=(const Hash&) = delete;
  ~Hash();
  void add(std::span<const std::byte> bytes);
  uint64_t value() const;
  std::string hex() const;  ///< 16 hexadecimal digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

uint64_t hash_of(std::span<const std::byte> bytes, uint64_t seed = 0);
/// 16 hexadecimal digits.
std::string hash_hex(std::string_view text);
/// Of a file's content, 16 hexadecimal digits; IoError.
std::string hash_file(const std::filesystem::path& path);

}  // namespace lathe
