#pragma once
// Sound files: WAV and what else libsndfile reads.

#include <cstdint>
#include <filesystem>
#include <memory>

namespace lathe {

struct SoundFormat {
  int64_t samples = 0;  ///< of each channel
  int64_t channels = 0;
  int64_t rate = 0;  ///< samples a second
};

/// One open file. Samples are floats, integers scaled to [-1, 1). Used by one thread at a time.
class SoundReader {
 public:
  /// DataError naming the file when it is missing, no sound, or shorter than its header says.
  explicit SoundReader(const std::filesystem::path& path);
  SoundReader(const SoundReader&) = delete;
  SoundReader& operator=(const SoundReader&) = delete;
  ~SoundReader();

  const SoundFormat& format() const { return format_; }
  /// Samples [from, from + count), which are inside the file, to (count, channels). DataError when they
  /// cannot be decoded.
  void read(int64_t from, int64_t count, float* to);

 private:
  struct Handle;
  std::filesystem::path path_;
  SoundFormat format_;
  std::unique_ptr<Handle> handle_;
};

enum class SampleFormat : uint8_t {
  Int16,    ///< rounded; beyond [-1, 1) clipped
  Float32,  ///< as they are
};

/// A WAV file written part by part.
class SoundWriter {
 public:
  /// Replaces the file. `format.samples` is not looked at. IoError when it cannot be written.
  SoundWriter(const std::filesystem::path& path, const SoundFormat& format, SampleFormat samples);
  SoundWriter(const SoundWriter&) = delete;
  SoundWriter& operator=(const SoundWriter&) = delete;
  ~SoundWriter();

  /// (count, channels).
  void write(const float* from, int64_t count);
  /// Completes the file; IoError when that fails. Without it the file is removed.
  void close();

 private:
  struct Handle;
  std::filesystem::path path_, partial_;
  int64_t channels_;
  SampleFormat samples_;
  std::unique_ptr<Handle> handle_;
};

}  // namespace lathe
