#pragma once
// Files, whole and atomically. Every failure is an IoError that names the path and the system's reason.

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

std::string read_text(const std::filesystem::path& path);
std::vector<std::byte> read_bytes(const std::filesystem::path& path);

/// Writes beside the target, flushes to disk and renames: a reader sees the old file or the new one, whole.
/// On failure the old file is untouched and nothing is left behind.
void write_atomic(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_atomic(const std::filesystem::path& path, std::string_view text);

/// Flushes a directory's entries to disk, after files in it were created or renamed.
void sync_directory(const std::filesystem::path& path);

}  // namespace lathe
