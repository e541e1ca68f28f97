#include "tools/bench/decode.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/philox.h"
#include "quant/pack/packed_model.h"

namespace lathe::bench {
namespace {

constexpr int64_t kWeights = 10'000'000;

struct Case {
  const char* name;
  int bits;
  double spread;  // of the codes' Laplace distribution; 0: uniform
  int64_t group = 0;
};

const Case kCases[] = {
    {"ans 2 bits a weight", 4, 0.72}, {"ans 1 bit a weight", 4, 0.27},
    {"ans 6 bits a weight", 8, 12},   {"ans 12 bits a weight", 15, 1000},
    {"ans 9 bits a weight", 12, 110}, {"ans 10 bits a weight", 14, 300},
    {"bitpack 4 bit", 4, 0},          {"ans 2 bits, groups of 8", 4, 0.72, 8},
};

Codes make_codes(const Case& one) {
  const Philox philox{.seed = 1, .stream = stream_id("bench decode")};
  Codes codes;
  codes.integers = Tensor::empty({kWeights / 1000, 1000}, DType::I32);
  codes.group = one.group;
  codes.bits = Tensor::full({1}, one.bits, DType::U8);
  codes.scale = Tensor::full({codes.groups()}, 0.01);
  const int32_t lowest = lowest_code(codes.decoder, one.bits), highest = -lowest - 1;
  int32_t* q = codes.integers.mut<int32_t>();
  for (int64_t i = 0; i < kWeights; ++i) {
    const double u = philox.uniform(static_cast<uint64_t>(i)), tail = 1 - std::fabs(2 * u - 1);
    const double laplace = (u < 0.5 ? 1 : -1) * one.spread * std::log(std::max(tail, 1e-9));
    const double value = one.spread == 0 ? lowest + u * (1 << one.bits) : std::nearbyint(laplace);
    q[i] = std::clamp(static_cast<int32_t>(std::floor(value)), lowest, highest);
  }
  return codes;
}

CodecRow bench_case(const Case& one, double seconds) {
  PackedModel model;
  model.tensors = {{"w", make_codes(one)}};
  const Codes& codes = std::get<Codes>(model.tensors[0].content);
  std::vector<std::byte> file;
  const double pack = time_once([&] { file = packed_bytes(model); });
  const PackedTensorLayout layout = layout_packed(file, "bench").tensors[0];
  const double million = 1e-6 * static_cast<double>(kWeights);
  const Times parse = time_calls([&] { parse_packed(file, "bench"); }, seconds);
  const Times decoding = time_calls([&] { decode(codes); }, seconds);
  const double bits = 8.0 * static_cast<double>(layout.payload + layout.table) / kWeights;
  return {one.name, layout.codec, bits, million / parse.median, million / decoding.median, pack, kWeights};
}

}  // namespace

std::vector<CodecRow> bench_decode(const std::string& filter, double seconds) {
  std::vector<CodecRow> rows;
  for (const Case& one : kCases) {
    if (std::string(one.name).find(filter) != std::string::npos) rows.push_back(bench_case(one, seconds));
  }
  return rows;
}

FileRow bench_decode_file(const std::string& path, double seconds) {
  FileRow row;
  const auto count = [&](const UnpackedModel& model) {
    row.weights = 0;
    for (const NamedTensor& one : model.tensors) row.weights += one.tensor.numel();
  };
  row.times = time_calls([&] { count(read_unpacked(path)); }, seconds);
  row.file_bytes = static_cast<int64_t>(std::filesystem::file_size(path));
  return row;
}

}  // namespace lathe::bench
