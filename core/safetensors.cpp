#include "core/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <set>

#include "core/files.h"
#include "core/half.h"
#include "core/json.h"
#include "core/parallel.h"

namespace lathe {
namespace {

static_assert(std::endian::native == std::endian::little, "the container is little-endian");

constexpr uint64_t kLargestHeader = 100'000'000;
constexpr std::string_view kMetadata = "__metadata__";

/// Element types of the container, and what they become in memory.
struct FileType {
  std::string_view name;
  size_t size;
  DType memory;
};
constexpr std::array kFileTypes = {
    FileType{"F32", 4, DType::F32},  FileType{"F64", 8, DType::F64}, FileType{"F16", 2, DType::F32},
    FileType{"BF16", 2, DType::F32}, FileType{"I64", 8, DType::I64}, FileType{"I32", 4, DType::I32},
    FileType{"I16", 2, DType::I64},  FileType{"I8", 1, DType::I64},  FileType{"U32", 4, DType::I64},
    FileType{"U16", 2, DType::I64},  FileType{"U8", 1, DType::U8},   FileType{"BOOL", 1, DType::I64},
};

/// The container's name of a type that is kept as it is.
std::string_view file_name(DType dtype) {
  const auto kept = [&](const FileType& type) { return type.memory == dtype && type.size == size_of(dtype); };
  return std::find_if(kFileTypes.begin(), kFileTypes.end(), kept)->name;
}

/// One entry of the header, checked by itself.
struct Entry {
  std::string name;
  const FileType* type;
  Shape shape;
  uint64_t begin, end;  // bytes in the data
};

/// Checks one file's header; every error names the file and the tensor.
class Header {
 public:
  Header(const std::filesystem::path& path, const std::string& text, uint64_t data_bytes)
      : path_(path.string()) {
    const Value root = parse(text);
    for (const auto& [name, value] : root.members()) {
      if (name == kMetadata) {
        read_metadata(value);
      } else {
        read_entry(name, value);
      }
    }
    const auto before = [](const Entry& a, const Entry& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    };
    std::stable_sort(entries.begin(), entries.end(), before);
    check_places(data_bytes);
  }

  std::vector<Entry> entries;  // in the order of their data
  std::map<std::string, std::string> metadata;

 private:
  template <class... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    LATHE_THROW(FormatError, path_, ": ", parts...);
  }

  Value parse(const std::string& text) const {
    if (text.empty() || text[0] != '{') fail("the header does not start with '{'");
    try {
      return parse_json(text, path_ + ": header", {.max_depth = 4});
    } catch (const ConfigError& error) {
      throw FormatError(error.what());
    }
  }

  void read_metadata(const Value& value) {
    if (!value.is(Value::Type::Object))
      fail(kMetadata, ": expected an object, found ", describe(value.type()));
    for (const auto& [key, text] : value.members()) {
      if (!text.is(Value::Type::String)) {
        fail(kMetadata, ": '", key, "': expected a string, found ", describe(text.type()));
      }
      metadata[key] = text.as_string();
    }
  }

  const Value& member(const std::string& name, const Value& value, std::string_view key,
                      Value::Type type) const {
    const Value* found = value.find(key);
    if (found == nullptr) fail("tensor '", name, "': '", key, "' is missing");
    if (!found->is(type)) {
      fail("tensor '", name, "': ", key, ": expected ", describe(type), ", found ", describe(found->type()));
    }
    return *found;
  }

  std::vector<int64_t> integers(const std::string& name, const Value& value, std::string_view key) const {
    std::vector<int64_t> list;
    for (const Value& item : member(name, value, key, Value::Type::Array).items()) {
      if (!item.is(Value::Type::Int)) {
        fail("tensor '", name, "': ", key, ": expected integers, found ", describe(item.type()));
      }
      if (item.as_int() < 0) fail("tensor '", name, "': ", key, ": ", item.as_int(), " is negative");
      list.push_back(item.as_int());
    }
    return list;
  }

  void read_entry(const std::string& name, const Value& value) {
    if (!value.is(Value::Type::Object)) {
      fail("tensor '", name, "': expected an object, found ", describe(value.type()));
    }
    for (const auto& [key, unused] : value.members()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        fail("tensor '", name, "': unknown key '", key, "'");
      }
    }
    const std::string& dtype = member(name, value, "dtype", Value::Type::String).as_string();
    const auto type = std::find_if(kFileTypes.begin(), kFileTypes.end(),
                                   [&](const FileType& candidate) { return candidate.name == dtype; });
    if (type == kFileTypes.end()) fail("tensor '", name, "': dtype '", dtype, "' is not supported");
    const std::vector<int64_t> dims = integers(name, value, "shape");
    const std::vector<int64_t> offsets = integers(name, value, "data_offsets");
    if (offsets.size() != 2) {
      fail("tensor '", name, "': data_offsets: expected 2 integers, found ", offsets.size());
    }
    if (offsets[0] > offsets[1]) {
      fail("tensor '", name, "': data_offsets: begin ", offsets[0], " is after end ", offsets[1]);
    }
    const uint64_t bytes = checked_bytes(name, dims, *type);
    const auto begin = static_cast<uint64_t>(offsets[0]), end = static_cast<uint64_t>(offsets[1]);
    if (end - begin != bytes) {
      fail("tensor '", name, "': its shape takes ", bytes, " bytes, its data_offsets span ", end - begin);
    }
    entries.push_back({name, &*type, Shape(dims), begin, end});
  }

  /// Bytes in the file, once it is sure that neither these nor the bytes in memory overflow.
  uint64_t checked_bytes(const std::string& name, const std::vector<int64_t>& dims,
                         const FileType& type) const {
    if (dims.size() > static_cast<size_t>(Shape::kMaxRank)) {
      fail("tensor '", name, "': ", dims.size(), " axes, at most ", Shape::kMaxRank, " are supported");
    }
    int64_t count = 1, in_memory = 0;
    bool overflow = false;
    for (const int64_t dim : dims) overflow = overflow || __builtin_mul_overflow(count, dim, &count);
    overflow = overflow || __builtin_mul_overflow(count, int64_t{8}, &in_memory);
    if (overflow) fail("tensor '", name, "': the product of its shape overflows");
    return static_cast<uint64_t>(count) * type.size;
  }

  void check_places(uint64_t data_bytes) const {
    uint64_t at = 0;
    std::string previous = "the start of the data";
    for (const Entry& entry : entries) {
      if (entry.begin < at) fail("tensor '", entry.name, "' at byte ", entry.begin, " overlaps ", previous);
      if (entry.begin > at) {
        fail("bytes ", at, " to ", entry.begin, " between ", previous, " and tensor '", entry.name,
             "' belong to no tensor");
      }
      at = entry.end;
      previous = concat("tensor '", entry.name, "'");
    }
    if (at > data_bytes) fail(previous, " ends at byte ", at, ", the file's data at byte ", data_bytes);
    if (at < data_bytes) fail("the last ", data_bytes - at, " bytes belong to no tensor");
  }

  std::string path_;
};

template <class From, class To, class Convert>
void widen(Tensor& out, const std::vector<std::byte>& bytes, Convert convert) {
  To* y = out.mut<To>();
  for (int64_t i = 0; i < out.numel(); ++i) {
    From x;
    std::memcpy(&x, bytes.data() + static_cast<size_t>(i) * sizeof(From), sizeof(From));
    y[i] = convert(x);
  }
}

/// The next bytes of a file, wherever it is.
using ReadBytes = FunctionRef<void(std::span<std::byte>)>;

Tensor read_tensor(ReadBytes read, const std::string& path, const Entry& entry) {
  Tensor tensor = Tensor::empty(entry.shape, entry.type->memory);
  if (tensor.numel() == 0) return tensor;
  if (entry.type->size == size_of(tensor.dtype())) {
    read({tensor.raw_mut(), tensor.bytes()});
    return tensor;
  }
  std::vector<std::byte> bytes(static_cast<size_t>(entry.end - entry.begin));
  read(bytes);
  const std::string_view type = entry.type->name;
  const auto same = [](auto x) { return static_cast<int64_t>(x); };
  if (type == "F16") widen<uint16_t, float>(tensor, bytes, half_to_float);
  if (type == "BF16") {
    widen<uint16_t, float>(tensor, bytes,
                           [](uint16_t x) { return std::bit_cast<float>(static_cast<uint32_t>(x) << 16); });
  }
  if (type == "I16") widen<int16_t, int64_t>(tensor, bytes, same);
  if (type == "I8") widen<int8_t, int64_t>(tensor, bytes, same);
  if (type == "U16") widen<uint16_t, int64_t>(tensor, bytes, same);
  if (type == "U32") widen<uint32_t, int64_t>(tensor, bytes, same);
  if (type == "BOOL") {
    widen<uint8_t, int64_t>(tensor, bytes, [&](uint8_t x) {
      LATHE_CHECK(FormatError, x <= 1, path, ": tensor '", entry.name, "': a BOOL byte is 0 or 1, found ",
                  static_cast<int>(x));
      return static_cast<int64_t>(x);
    });
  }
  return tensor;
}

std::string header_text(std::span<const NamedTensor> tensors,
                        const std::map<std::string, std::string>& metadata) {
  Value root = Value::object();
  if (!metadata.empty()) {
    Value texts = Value::object();
    for (const auto& [key, text] : metadata) {
      LATHE_CHECK(FormatError, is_utf8(key) && is_utf8(text), "safetensors: metadata is not UTF-8");
      texts.append(key, Value::string(text));
    }
    root.append(std::string(kMetadata), std::move(texts));
  }
  int64_t at = 0;
  std::set<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    LATHE_CHECK(FormatError, name != kMetadata && is_utf8(name), "safetensors: '", name,
                "' cannot name a tensor");
    LATHE_CHECK(FormatError, names.insert(name).second, "safetensors: two tensors are named '", name, "'");
    LATHE_CHECK(DeviceError, tensor.device().type != DeviceType::Meta, "safetensors: tensor '", name,
                "' is on ", tensor.device(), ", which has nothing to write");
    Value dims = Value::array();
    for (const int64_t dim : tensor.shape()) dims.push_back(Value::integer(dim));
    const int64_t end = at + static_cast<int64_t>(tensor.bytes());
    root.append(name,
                Value::object({{"dtype", Value::string(std::string(file_name(tensor.dtype())))},
                               {"shape", std::move(dims)},
                               {"data_offsets", Value::array({Value::integer(at), Value::integer(end)})}}));
    at = end;
  }
  std::string text = to_json(root);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

TensorFile read_content(ReadBytes read, uint64_t size, const std::filesystem::path& path) {
  uint64_t length = 0;
  LATHE_CHECK(FormatError, size >= sizeof length, path.string(), ": ", size,
              " bytes are too few for a safetensors file");
  read(std::as_writable_bytes(std::span(&length, 1)));
  LATHE_CHECK(FormatError, length <= kLargestHeader, path.string(), ": a header of ", length,
              " bytes is over the limit of ", kLargestHeader);
  LATHE_CHECK(FormatError, length <= size - sizeof length, path.string(), ": a header of ", length,
              " bytes does not fit into a file of ", size);
  std::string text(static_cast<size_t>(length), '\0');
  read(std::as_writable_bytes(std::span(text)));
  Header header(path, text, size - sizeof length - length);
  TensorFile content;
  content.metadata = std::move(header.metadata);
  for (const Entry& entry : header.entries) {
    content.tensors.push_back({entry.name, read_tensor(read, path.string(), entry)});
  }
  return content;
}

}  // namespace

const Tensor* TensorFile::find(std::string_view name) const {
  const auto it = std::find_if(tensors.begin(), tensors.end(),
                               [&](const NamedTensor& tensor) { return tensor.name == name; });
  return it == tensors.end() ? nullptr : &it->tensor;
}

TensorFile read_safetensors(const std::filesystem::path& path) {
  InputFile file(path);
  return read_content([&](std::span<std::byte> bytes) { file.read(bytes); }, file.size(), path);
}

TensorFile parse_safetensors(std::span<const std::byte> bytes, std::string_view source) {
  std::span<const std::byte> rest = bytes;
  const auto read = [&](std::span<std::byte> to) {
    std::copy_n(rest.begin(), to.size(), to.begin());
    rest = rest.subspan(to.size());
  };
  return read_content(read, bytes.size(), source);
}

void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::string text = header_text(tensors, metadata);
  const uint64_t length = text.size();
  LATHE_CHECK(FormatError, length <= kLargestHeader, path.string(), ": a header of ", length,
              " bytes is over the limit of ", kLargestHeader);
  std::vector<std::span<const std::byte>> parts = {std::as_bytes(std::span(&length, 1)),
                                                   std::as_bytes(std::span(text))};
  std::vector<Tensor> hosts;  // shared with `tensors` where they are there already
  for (const NamedTensor& named : tensors) {
    const Tensor& host = hosts.emplace_back(named.tensor.to(Device::cpu()));
    parts.emplace_back(host.raw(), host.bytes());
  }
  write_atomic(path, parts);
}

}  // namespace lathe
