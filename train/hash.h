#pragma once
// xxHash64 (seed 0), for integrity and identity; no defence against an attacker.

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace lathe {

/// 16 hexadecimal digits.
std::string hash_hex(std::span<const std::byte> bytes);
std::string hash_hex(std::string_view text);
/// Of a file's content; IoError.
std::string hash_file(const std::filesystem::path& path);

}  // namespace lathe
