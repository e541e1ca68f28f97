#include "data/source.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include <zlib.h>

#include "core/error.h"
#include "core/files.h"

namespace lathe {

namespace fs = std::filesystem;

std::vector<std::byte> read_source(const fs::path& path, std::string_view expected) {
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  LATHE_CHECK(DataError, fs::exists(status), path.string(), ": there is no such file; expected ", expected);
  LATHE_CHECK(DataError, fs::is_regular_file(status), path.string(), ": not a regular file; expected ",
              expected);
  return read_bytes(path);
}

namespace {

struct InflateEnd {
  void operator()(z_stream* stream) const { inflateEnd(stream); }
};

[[noreturn]] void inflate_error(const fs::path& path, const z_stream& stream, int code) {
  const std::string at =
      concat(path.string(), ": gzip data at offset ", static_cast<int64_t>(stream.total_in));
  LATHE_CHECK(OutOfMemoryError, code != Z_MEM_ERROR, at, ": out of memory");
  LATHE_CHECK(DataError, code != Z_BUF_ERROR, at, ": the file ends early");
  LATHE_THROW(DataError, at, ": ", stream.msg != nullptr ? stream.msg : "damaged");
}

}  // namespace

std::vector<std::byte> gunzip(std::span<const std::byte> bytes, const fs::path& path, size_t max_bytes) {
  const bool magic = bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
  LATHE_CHECK(DataError, magic, path.string(), ": not gzip: expected the first bytes 1f 8b");
  LATHE_CHECK(DataError, bytes.size() <= std::numeric_limits<uInt>::max(), path.string(), ": ", bytes.size(),
              " bytes are more than one gzip file may have here");
  z_stream stream{};
  constexpr int kGzipOnly = 16 + MAX_WBITS;
  LATHE_CHECK(OutOfMemoryError, inflateInit2(&stream, kGzipOnly) == Z_OK, path.string(), ": out of memory");
  const std::unique_ptr<z_stream, InflateEnd> guard(&stream);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));  // zlib only reads it
  stream.avail_in = static_cast<uInt>(bytes.size());

  std::vector<std::byte> out;
  std::array<std::byte, size_t{1} << 16> chunk;
  for (int code = Z_OK; code != Z_STREAM_END;) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = static_cast<uInt>(chunk.size());
    code = inflate(&stream, Z_NO_FLUSH);
    if (code != Z_OK && code != Z_STREAM_END) inflate_error(path, stream, code);
    const auto count = static_cast<std::ptrdiff_t>(chunk.size() - stream.avail_out);
    out.insert(out.end(), chunk.begin(), chunk.begin() + count);
    LATHE_CHECK(DataError, out.size() <= max_bytes, path.string(), ": expands to more than ", max_bytes,
                " bytes");
  }
  LATHE_CHECK(DataError, stream.avail_in == 0, path.string(), ": ", stream.avail_in,
              " bytes follow the end of the gzip data at offset ", static_cast<int64_t>(stream.total_in));
  return out;
}

std::vector<std::string> read_class_names(const fs::path& path, int64_t count) {
  std::error_code code;
  if (!fs::exists(path, code)) return {};
  const std::string text = read_text(path);
  std::vector<std::string> names;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string name = text.substr(begin, end - begin);
    while (!name.empty() && (name.back() == '\r' || name.back() == ' ')) name.pop_back();
    if (!name.empty()) names.push_back(std::move(name));
    begin = end + 1;
  }
  LATHE_CHECK(DataError, static_cast<int64_t>(names.size()) == count, path.string(), ": found ", names.size(),
              " class names, expected ", count, ", one a line");
  return names;
}

}  // namespace lathe
