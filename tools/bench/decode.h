#pragma once

#include "tools/bench/harness.h"

namespace lathe::bench {

/// One packed tensor: read, turned into weights, and packed.
struct CodecRow {
  std::string name;   ///< "ans 2 bit", ...
  std::string codec;  ///< that won
  double bits_per_weight = 0;
  double parse_rate = 0;    ///< million weights per second, from the file's bytes to codes; the median
  double decode_rate = 0;   ///< from codes to weights
  double pack_seconds = 0;  ///< of one call, for all weights
  int64_t weights = 0;
};

/// Codecs on 10 million weights each; rows whose name contains `filter`, about `seconds` per timing.
std::vector<CodecRow> bench_decode(const std::string& filter, double seconds);

/// A packed file, from disk to weights in float32.
struct FileRow {
  int64_t file_bytes = 0, weights = 0;
  Times times;
};
/// Reads it again and again, about `seconds` in all. Errors of read_packed.
FileRow bench_decode_file(const std::string& path, double seconds);

}  // namespace lathe::bench
