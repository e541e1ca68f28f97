#pragma once
// The machine's limits, so that other figures are shares of them.

#include <cstdint>
#include <string>
#include <vector>

namespace lathe::bench {

/// Of a = b + s c on floats in memory of one level, each thread in its own: 12 bytes an element.
struct Bandwidth {
  std::string level;         ///< "L1", "L2", "L3", "DRAM"
  int64_t bytes_each = 0;    ///< of a thread's three arrays together
  double gb_per_second = 0;  ///< of all threads
};

struct Limits {
  int threads = 1;
  double gflops = 0;  ///< f32 on registers alone
  std::vector<Bandwidth> bandwidths;
};

/// With num_threads() threads. L1 and L2 half full, L3 a quarter, DRAM with four times what L3 holds.
Limits measure_limits();

/// The last row of measure_limits() alone.
double dram_gb_per_second();

}  // namespace lathe::bench
