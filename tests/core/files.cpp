#include "core/files.h"

#include <fstream>
#include <functional>
#include <iterator>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "core/error.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/scratch.h"

namespace fs = std::filesystem;
using lathe::tests::FileSizeLimit;
using lathe::tests::ScratchFolder;

namespace {

size_t entries(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const lathe::IoError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_SUITE_BEGIN("core");

TEST_CASE("files: write and read back") {
  const ScratchFolder scratch;
  const fs::path file = scratch / "a.txt";
  lathe::write_atomic(file, std::string_view("one"));
  CHECK(lathe::read_text(file) == "one");
  const std::string large(3'000'000, 'x');
  lathe::write_atomic(file, large);
  CHECK(lathe::read_text(file) == large);
  CHECK(lathe::read_bytes(file).size() == large.size());
  lathe::write_atomic(file, std::string_view());
  CHECK(lathe::read_text(file).empty());
  CHECK(entries(scratch.path()) == 1);
}

TEST_CASE("files: permissions follow the umask") {
  const ScratchFolder scratch;
  const mode_t old = umask(027);
  lathe::write_atomic(scratch / "a", std::string_view("x"));
  umask(old);
  CHECK((fs::status(scratch / "a").permissions() & fs::perms::mask) == static_cast<fs::perms>(0640));
}

TEST_CASE("files: a file without an announced size is read to its end") {
  CHECK(lathe::read_text("/proc/self/status").find("VmPeak") != std::string::npos);
}

TEST_CASE("files: a failed write leaves the old file and nothing else") {
  const ScratchFolder scratch;
  const fs::path file = scratch / "a.txt";
  lathe::write_atomic(file, std::string_view("old"));
  const std::string large(1 << 20, 'x');
  std::string message;
  {
    const FileSizeLimit limit(1 << 16);
    message = error_of([&] { lathe::write_atomic(file, large); });
  }
  CHECK(message == file.string() + ": cannot write: File too large");
  CHECK(lathe::read_text(file) == "old");
  CHECK(entries(scratch.path()) == 1);
}

TEST_CASE("files: a temporary file left by a killed process is not in the way") {
  const ScratchFolder scratch;
  std::ofstream(scratch / ".a.txt.tmp0") << "half";
  lathe::write_atomic(scratch / "a.txt", std::string_view("whole"));
  CHECK(lathe::read_text(scratch / "a.txt") == "whole");
  CHECK(lathe::read_text(scratch / ".a.txt.tmp0") == "half");
}

TEST_CASE("files: errors name the path and the reason") {
  const ScratchFolder scratch;
  const fs::path missing = scratch / "none.txt";
  CHECK(error_of([&] { lathe::read_text(missing); }) ==
        missing.string() + ": cannot open: No such file or directory");
  CHECK(error_of([&] { lathe::read_bytes(scratch.path()); }) ==
        scratch.path().string() + ": cannot read: Is a directory");
  const fs::path deep = scratch / "no" / "a.txt";
  CHECK(error_of([&] { lathe::write_atomic(deep, std::string_view("x")); }) ==
        deep.string() + ": cannot create: No such file or directory");
  fs::create_directory(scratch / "folder");
  CHECK(error_of([&] { lathe::write_atomic(scratch / "folder", std::string_view("x")); }) ==
        (scratch / "folder").string() + ": cannot replace: it is not a regular file");
  CHECK(entries(scratch.path()) == 1);
}

TEST_SUITE_END();
