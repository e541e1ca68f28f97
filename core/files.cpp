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

/// An open file; closed when it goes away.
class FileHandle {
 public:
  explicit FileHandle(int descriptor) : descriptor_(descriptor) {}
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;
  ~FileHandle() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int get() const { return descriptor_; }
  /// Closes now and reports what close() says.
  int close() {
    const int closed = ::close(descriptor_);
    descriptor_ = -1;
    return closed;
  }

 private:
  int descriptor_;
};

template <class Container>
Container read_all(const fs::path& path) {
  FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) io_error(path, "open", errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) io_error(path, "read", errno);
  if (S_ISDIR(status.st_mode)) io_error(path, "read", EISDIR);
  Container content(static_cast<size_t>(status.st_size), {});
  size_t filled = 0;
  while (true) {  // until the end: the size of a pipe is not known before
    if (filled == content.size()) {
      // At the size announced; look for more without growing a regular file's buffer.
      char extra = 0;
      const ssize_t more = ::read(file.get(), &extra, 1);
      if (more < 0 && errno == EINTR) continue;
      if (more < 0) io_error(path, "read", errno);
      if (more == 0) return content;
      content.resize(content.size() * 2 + 4096);
      std::memcpy(content.data() + filled++, &extra, 1);
    }
    const ssize_t got = ::read(file.get(), content.data() + filled, content.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) io_error(path, "read", errno);
    if (got == 0) {
      content.resize(filled);
      return content;
    }
    filled += static_cast<size_t>(got);
  }
}

/// A fresh file beside `path`, removed again unless it was renamed.
class TemporaryFile {
 public:
  explicit TemporaryFile(const fs::path& path) : target_(path), file_(create()) {}
  ~TemporaryFile() {
    if (!renamed_) ::unlink(name_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t done = ::write(file_.get(), bytes.data(), bytes.size());
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) io_error(target_, "write", errno);
      bytes = bytes.subspan(static_cast<size_t>(done));
    }
  }

  void commit() {
    if (::fsync(file_.get()) != 0) io_error(target_, "write", errno);
    if (file_.close() != 0) io_error(target_, "write", errno);
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
  FileHandle file_;
};

}  // namespace

std::string read_text(const fs::path& path) {
  return read_all<std::string>(path);
}

std::vector<std::byte> read_bytes(const fs::path& path) {
  return read_all<std::vector<std::byte>>(path);
}

void write_atomic(const fs::path& path, std::span<const std::byte> bytes) {
  {
    TemporaryFile temporary(path);
    temporary.write(bytes);
    temporary.commit();
  }
  sync_directory(path.parent_path());
}

void write_atomic(const fs::path& path, std::string_view text) {
  write_atomic(path, std::as_bytes(std::span(text.data(), text.size())));
}

void sync_directory(const fs::path& path) {
  const fs::path directory = path.empty() ? fs::path(".") : path;
  FileHandle handle(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (handle.get() < 0) io_error(directory, "open", errno);
  // EINVAL: this file system cannot flush a directory, and keeps its entries in order by itself.
  if (::fsync(handle.get()) != 0 && errno != EINVAL) io_error(directory, "flush", errno);
}

}  // namespace lathe
