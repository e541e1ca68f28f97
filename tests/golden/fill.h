#pragma once
// The deterministic fill of golden model files: 32-bit integer arithmetic, so the same numbers anywhere.

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/shape.h"

namespace lathe::golden {

/// Murmur3's finaliser of element i of tensor number k.
constexpr uint32_t fill_hash(uint64_t i, uint32_t k) {
  uint32_t x = static_cast<uint32_t>(i) + 0x9E3779B1u * (k + 1);
  x ^= x >> 16;
  x *= 0x85EBCA6Bu;
  x ^= x >> 13;
  x *= 0xC2B2AE35u;
  return x ^ (x >> 16);
}

/// In [-1, 1), exact in float.
constexpr double fill_unit(uint64_t i, uint32_t k) {
  return static_cast<double>(fill_hash(i, k) >> 8) / 8388608.0 - 1.0;
}

/// A tensor of the file: row-major over its own shape (channels first), rounded to float once. `rule` is
/// weight (needs `gain`), gamma, bias, rmean or rvar; FormatError for any other.
std::vector<double> fill_tensor(const std::string& rule, const Shape& shape, uint32_t k, double gain);

/// Rule of a float input: "s(i,65536)" or "0.5*s(i,65536)". FormatError for any other.
std::vector<double> fill_input(const std::string& rule, int64_t count);
/// Rule of an integer input: "h(i,65538) mod 10" or "4 + h(i,65539) mod 96", which may say that the
/// last five are padding, 1. FormatError for any other.
std::vector<int64_t> fill_indices(const std::string& rule, int64_t count);

}  // namespace lathe::golden
