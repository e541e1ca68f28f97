#include "tests/golden/fill.h"

#include <algorithm>
#include <cstdio>

#include "core/error.h"

namespace lathe::golden {
namespace {

// value = offset + factor * s
struct Affine {
  double offset, factor;
};

Affine affine_of(const std::string& rule, const Shape& shape, double gain) {
  if (rule == "weight") {
    const double fan = static_cast<double>(shape.numel() / shape[0]);
    return {0, gain * std::sqrt(3.0 / fan)};
  }
  if (rule == "gamma" || rule == "rvar") return {1, 0.25};
  if (rule == "bias" || rule == "rmean") return {0, 0.1};
  LATHE_THROW(FormatError, "there is no fill rule '", rule, "'");
}

}  // namespace

std::vector<double> fill_tensor(const std::string& rule, const Shape& shape, uint32_t k, double gain) {
  const Affine affine = affine_of(rule, shape, gain);
  std::vector<double> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(affine.offset + affine.factor * fill_unit(i, k));
  return values;
}

std::vector<double> fill_input(const std::string& rule, int64_t count) {
  double factor = 1;
  unsigned k = 0;
  int end = -1;
  if (std::sscanf(rule.c_str(), "s(i,%u)%n", &k, &end) != 1 || end < 0) {
    factor = 0;
    end = -1;
    std::sscanf(rule.c_str(), "%lf*s(i,%u)%n", &factor, &k, &end);
  }
  LATHE_CHECK(FormatError, end == static_cast<int>(rule.size()), "there is no fill rule '", rule, "'");
  std::vector<double> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(factor * fill_unit(i, k));
  return values;
}

std::vector<int64_t> fill_indices(const std::string& given, int64_t count) {
  std::string rule = given;
  int64_t padded = 0;
  for (const std::string_view words : {"; last 5 of last row = 1 (pad)", " with same pads"}) {
    if (!rule.ends_with(words)) continue;
    rule.resize(rule.size() - words.size());
    padded = std::min<int64_t>(5, count);
  }
  int offset = 0, end = -1;
  unsigned k = 0, modulus = 0;
  if (std::sscanf(rule.c_str(), "h(i,%u) mod %u%n", &k, &modulus, &end) != 2 || end < 0) {
    end = -1;
    std::sscanf(rule.c_str(), "%d + h(i,%u) mod %u%n", &offset, &k, &modulus, &end);
  }
  LATHE_CHECK(FormatError, end == static_cast<int>(rule.size()) && modulus > 0, "there is no fill rule '",
              rule, "'");
  std::vector<int64_t> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = offset + fill_hash(i, k) % modulus;
  std::fill(values.end() - padded, values.end(), 1);
  return values;
}

}  // namespace lathe::golden
