#include "data/sound_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <vector>

#include "core/error.h"

#if LATHE_HAS_SNDFILE
#include <sndfile.h>
#endif

namespace lathe {
namespace {

// libsndfile reads a cut WAV file as if it were a shorter one; its header tells. Streamed files have 0 or the
// largest number there.
void check_riff_size(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  unsigned char head[12] = {};
  if (!file.read(reinterpret_cast<char*>(head), sizeof head)) return;
  if (std::memcmp(head, "RIFF", 4) != 0 || std::memcmp(head + 8, "WAVE", 4) != 0) return;
  const uint32_t told =
      uint32_t{head[4]} | uint32_t{head[5]} << 8 | uint32_t{head[6]} << 16 | uint32_t{head[7]} << 24;
  constexpr uint32_t kUnknown = 0xFFFFFF00u;
  const uint64_t size = std::filesystem::file_size(path);
  LATHE_CHECK(DataError, told == 0 || told >= kUnknown || size >= uint64_t{told} + 8, path.string(),
              ": the file is cut short: ", size, " bytes, its header says ", uint64_t{told} + 8);
}

}  // namespace

#if LATHE_HAS_SNDFILE

struct SoundReader::Handle {
  SNDFILE* file = nullptr;
  ~Handle() { sf_close(file); }
};

SoundReader::SoundReader(const std::filesystem::path& path) : path_(path), handle_(new Handle) {
  LATHE_CHECK(DataError, std::filesystem::is_regular_file(path), path.string(), ": there is no such file");
  check_riff_size(path);
  SF_INFO info{};
  handle_->file = sf_open(path.c_str(), SFM_READ, &info);
  LATHE_CHECK(DataError, handle_->file != nullptr, path.string(),
              ": expected a sound file: ", sf_strerror(nullptr));
  LATHE_CHECK(DataError, info.frames > 0 && info.channels > 0 && info.samplerate > 0, path.string(),
              ": a sound of ", int64_t{info.frames}, " samples in ", info.channels, " channels at ",
              info.samplerate, " Hz");
  format_ = {.samples = info.frames, .channels = info.channels, .rate = info.samplerate};
}

SoundReader::~SoundReader() = default;

void SoundReader::read(int64_t from, int64_t count, float* to) {
  LATHE_CHECK(ShapeError, from >= 0 && count >= 0 && from + count <= format_.samples, path_.string(),
              ": samples [", from, ", ", from + count, ") of ", format_.samples);
  const bool there = sf_seek(handle_->file, from, SEEK_SET) == from;
  const int64_t got = there ? sf_readf_float(handle_->file, to, count) : 0;
  LATHE_CHECK(DataError, got == count, path_.string(), ": damaged: only ", got, " of ", count,
              " samples from ", from, " can be read");
  const bool finite =
      std::all_of(to, to + count * format_.channels, [](float value) { return std::isfinite(value); });
  LATHE_CHECK(DataError, finite, path_.string(), ": a sample from ", from, " on is not a finite number");
}

struct SoundWriter::Handle {
  SNDFILE* file = nullptr;
  ~Handle() { sf_close(file); }
};

SoundWriter::SoundWriter(const std::filesystem::path& path, const SoundFormat& format, SampleFormat samples)
    : path_(path),
      partial_(path.string() + ".partial"),
      channels_(format.channels),
      samples_(samples),
      handle_(new Handle) {
  SF_INFO info{};
  info.samplerate = static_cast<int>(format.rate);
  info.channels = static_cast<int>(format.channels);
  info.format = SF_FORMAT_WAV | (samples == SampleFormat::Int16 ? SF_FORMAT_PCM_16 : SF_FORMAT_FLOAT);
  handle_->file = sf_open(partial_.c_str(), SFM_WRITE, &info);
  LATHE_CHECK(IoError, handle_->file != nullptr, path.string(),
              ": cannot be written: ", sf_strerror(nullptr));
}

SoundWriter::~SoundWriter() {
  if (handle_ == nullptr) return;
  handle_.reset();
  std::error_code ignored;
  std::filesystem::remove(partial_, ignored);
}

void SoundWriter::write(const float* from, int64_t count) {
  int64_t written = 0;
  if (samples_ == SampleFormat::Float32) {
    written = sf_writef_float(handle_->file, from, count);
  } else {
    constexpr float kScale = 32768;
    std::vector<int16_t> rounded(static_cast<size_t>(count * channels_));
    for (size_t i = 0; i < rounded.size(); ++i)
      rounded[i] = static_cast<int16_t>(std::clamp(std::nearbyint(from[i] * kScale), -kScale, kScale - 1));
    written = sf_writef_short(handle_->file, rounded.data(), count);
  }
  LATHE_CHECK(IoError, written == count, path_.string(), ": cannot be written: ", sf_strerror(handle_->file));
}

void SoundWriter::close() {
  const int failed = sf_close(handle_->file);
  handle_->file = nullptr;
  LATHE_CHECK(IoError, failed == 0, path_.string(), ": cannot be written: ", sf_error_number(failed));
  handle_.reset();
  std::error_code error;
  std::filesystem::rename(partial_, path_, error);
  LATHE_CHECK(IoError, !error, path_.string(), ": cannot be written: ", error.message());
}

#else

struct SoundReader::Handle {};
struct SoundWriter::Handle {};

SoundReader::SoundReader(const std::filesystem::path& path) : path_(path) {
  check_riff_size(path);
  LATHE_THROW(NotImplementedError, path.string(), ": this build has no libsndfile, it reads no sound files");
}
SoundReader::~SoundReader() = default;
void SoundReader::read(int64_t, int64_t, float*) {}

SoundWriter::SoundWriter(const std::filesystem::path& path, const SoundFormat&, SampleFormat)
    : path_(path), channels_(0), samples_(SampleFormat::Int16) {
  LATHE_THROW(NotImplementedError, path.string(), ": this build has no libsndfile, it writes no sound files");
}
SoundWriter::~SoundWriter() = default;
void SoundWriter::write(const float*, int64_t) {}
void SoundWriter::close() {}

#endif

}  // namespace lathe
