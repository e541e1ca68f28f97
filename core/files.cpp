#include "core/files.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void io_error(const fs::path& path, const char* doing, int code) {
  LATHE_THROW(IoError, path.string(), ": cannot ", doing, ": ", std::strerror(code));
}

/// A descriptor for reading, and the file's size as announced; nothing is left open on failure.
int open_to_read(const fs::path& path, uint64_t& size) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) io_error(path, "open", errno);
  struct stat status {};
  int code = ::fstat(descriptor, &status) != 0 ? errno : 0;
  if (code == 0 && S_ISDIR(status.st_mode)) code = EISDIR;
  if (code != 0) {
    ::close(descriptor);
    io_error(path, "read", code);
  }
  size = static_cast<uint64_t>(status.st_size);
  return descriptor;
}

size_t read_some(const fs::path& path, int descriptor, std::byte* to, size_t bytes) {
  while (true) {
    const ssize_t got = ::read(descriptor, to, bytes);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) io_error(path, "read", errno);
  }
}

/// A rename would put a file in the place of a device, a pipe or an empty folder.
void refuse_all_but_files(const fs::path& path) {
  struct stat status {};
  const bool there = ::stat(path.c_str(), &status) == 0;
  LATHE_CHECK(IoError, !there || S_ISREG(status.st_mode), path.string(),
              ": cannot replace: it is not a regular file");
}

/// A fresh file beside `path`, removed again unless it was renamed.
class TemporaryFile {
 public:
  explicit TemporaryFile(const fs::path& path) : target_(path), descriptor_(create()) {}
  ~TemporaryFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!renamed_) ::unlink(name_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t done = ::write(descriptor_, bytes.data(), bytes.size());
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) io_error(target_, "write", errno);
      bytes = bytes.subspan(static_cast<size_t>(done));
    }
  }

  void commit() {
    if (::fsync(descriptor_) != 0) io_error(target_, "write", errno);
    const int closed = ::close(descriptor_);
    descriptor_ = -1;
    if (closed != 0) io_error(target_, "write", errno);
    if (::rename(name_.c_str(), target_.c_str()) != 0) io_error(target_, "replace", errno);
    renamed_ = true;
  }

 private:
  int create() {
    for (int attempt = 0;; ++attempt) {
      name_ = target_.parent_path() / concat(".", target_.filename().string(), ".tmp", attempt);
      const int descriptor = ::open(name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (descriptor >= 0) return descriptor;
      if (errno == EEXIST) continue;  // left by a killed process, or another writer's
      io_error(target_, "create", errno);
    }
  }

  fs::path target_;
  fs::path name_;
  bool renamed_ = false;
  int descriptor_;
};

}  // namespace

InputFile::InputFile(const fs::path& path) : path_(path), descriptor_(open_to_read(path, size_)) {}

InputFile::~InputFile() {
  ::close(descriptor_);
}

void InputFile::read(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const size_t got = read_some(path_, descriptor_, bytes.data(), bytes.size());
    LATHE_CHECK(IoError, got > 0, path_.string(), ": the file ends ", bytes.size(), " bytes too early");
    bytes = bytes.subspan(got);
  }
}

std::vector<std::byte> read_bytes(const fs::path& path) {
  uint64_t size = 0;
  const int descriptor = open_to_read(path, size);
  const struct Closer {
    int descriptor;
    ~Closer() { ::close(descriptor); }
  } closer{descriptor};
  // To the end, whatever the size announced: /proc announces none. One byte more sees the end at once.
  std::vector<std::byte> content(static_cast<size_t>(size) + 1);
  size_t filled = 0;
  while (const size_t got = read_some(path, descriptor, content.data() + filled, content.size() - filled)) {
    filled += got;
    if (filled == content.size()) content.resize(2 * filled);
  }
  content.resize(filled);
  return content;
}

std::string read_text(const fs::path& path) {
  const std::vector<std::byte> bytes = read_bytes(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void write_atomic(const fs::path& path, std::span<const std::span<const std::byte>> parts) {
  refuse_all_but_files(path);
  {
    TemporaryFile temporary(path);
    for (const auto part : parts) temporary.write(part);
    temporary.commit();
  }
  sync_directory(path.parent_path());
}

void write_atomic(const fs::path& path, std::span<const std::byte> bytes) {
  write_atomic(path, std::span(&bytes, 1));
}

void write_atomic(const fs::path& path, std::string_view text) {
  write_atomic(path, std::as_bytes(std::span(text.data(), text.size())));
}

void sync_directory(const fs::path& path) {
  const fs::path directory = path.empty() ? fs::path(".") : path;
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) io_error(directory, "open", errno);
  const int code = ::fsync(descriptor) != 0 ? errno : 0;
  ::close(descriptor);
  // EINVAL: this file system cannot flush a directory, and keeps its entries in order by itself.
  if (code != 0 && code != EINVAL) io_error(directory, "flush", code);
}

}  // namespace lathe
