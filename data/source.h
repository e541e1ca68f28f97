#pragma once
// Files of a data set: whole, decompressed, and with errors that a user can act on.

#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

namespace lathe {

/// Samples to read at most.
inline constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

/// Bytes of a file. DataError naming it and `expected` ("10000 records of 3073 bytes") when it is missing or
/// is no regular file; IoError when it cannot be read.
std::vector<std::byte> read_source(const std::filesystem::path& path, std::string_view expected);

/// Bytes inside a gzip file that was read from `path`. DataError when `bytes` are not gzip, are cut short,
/// fail their checksum, are followed by something else, or expand beyond `max_bytes`.
std::vector<std::byte> gunzip(std::span<const std::byte> bytes, const std::filesystem::path& path,
                              size_t max_bytes);

/// Lines of a text file without empty ones; empty when there is no such file. DataError unless it has
/// `count`.
std::vector<std::string> read_class_names(const std::filesystem::path& path, int64_t count);

}  // namespace lathe
