#pragma once
// Files, whole and atomically. Every failure is an IoError that names the path and the system's reason.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

/// A regular file read from front to back.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();
  uint64_t size() const { return size_; }
  /// Fills `bytes` from where the last read ended; IoError when the file ends before.
  void read(std::span<std::byte> bytes);

 private:
  std::filesystem::path path_;
  uint64_t size_ = 0;
  int descriptor_;  // after size_, which opening fills
};

std::string read_text(const std::filesystem::path& path);
std::vector<std::byte> read_bytes(const std::filesystem::path& path);

/// Writes beside the target, flushes to disk and renames: a reader sees the old file or the new one, whole.
/// On failure the old file is untouched and nothing is left behind. Only a regular file is replaced.
void write_atomic(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_atomic(const std::filesystem::path& path, std::string_view text);
/// The parts one after another.
void write_atomic(const std::filesystem::path& path, std::span<const std::span<const std::byte>> parts);

/// Flushes a directory's entries to disk, after files in it were created or renamed.
void sync_directory(const std::filesystem::path& path);

}  // namespace lathe
