#include "tests/golden/model_compare.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"
#include "core/math_mode.h"

namespace lathe::golden {
namespace {

bool differs(double ours, double reference, double allowed) {
  return !(std::abs(ours - reference) <= allowed);  // NaN differs
}

std::string complain(std::string_view what, double ours, double reference, double allowed) {
  return concat(what, ": ", ours, ", reference ", reference, ", allowed deviation ", allowed);
}

double norm(const std::vector<double>& x) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  return std::sqrt(sum);
}

}  // namespace

const Value& need(const Value& object, std::string_view key) {
  const Value* value = object.find(key);
  LATHE_CHECK(FormatError, value != nullptr, "key '", key, "' is missing (line ", object.line(), ")");
  return *value;
}

Shape read_shape(const Value& list) {
  std::vector<int64_t> dims;
  for (const Value& item : list.items()) dims.push_back(item.as_int());
  return Shape(std::span<const int64_t>(dims));
}

std::vector<double> read_reals(const Value& list) {
  std::vector<double> values;
  values.reserve(list.items().size());
  for (const Value& item : list.items()) values.push_back(item.as_real());
  return values;
}

Shape file_shape(const Shape& shape, bool channels_last) {
  if (!channels_last || shape.rank() < 3) return shape;
  std::vector<int64_t> dims(shape.begin(), shape.end());
  std::rotate(dims.begin() + 1, dims.end() - 1, dims.end());
  return Shape(std::span<const int64_t>(dims));
}

namespace {

// Visits (our flat index, the file's flat index) of every element of the file's shape.
template <class Visit>
void for_each_pair(const Shape& shape, bool channels_last, Visit visit) {
  const int64_t outer = shape.rank() > 0 ? shape[0] : 1;
  const bool moved = channels_last && shape.rank() >= 3;
  const int64_t channels = moved ? shape[1] : 1;
  const int64_t inner = outer * channels == 0 ? 0 : shape.numel() / (outer * channels);
  for (int64_t n = 0; n < outer; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t i = 0; i < inner; ++i)
        visit((n * inner + i) * channels + c, (n * channels + c) * inner + i);
    }
  }
}

}  // namespace

Tensor from_file(const std::vector<double>& values, const Shape& shape, bool channels_last, DType dtype) {
  std::vector<int64_t> dims(shape.begin(), shape.end());
  if (channels_last && dims.size() >= 3) std::rotate(dims.begin() + 1, dims.begin() + 2, dims.end());
  Tensor tensor = Tensor::empty(Shape(std::span<const int64_t>(dims)), DType::F64);
  double* out = tensor.mut<double>();
  for_each_pair(shape, channels_last,
                [&](int64_t ours, int64_t file) { out[ours] = values[static_cast<size_t>(file)]; });
  return tensor.to(dtype);
}

std::vector<double> to_file(const Tensor& tensor, bool channels_last) {
  const Tensor wide = tensor.to(DType::F64);
  const double* in = wide.ptr<double>();
  std::vector<double> values(static_cast<size_t>(wide.numel()));
  for_each_pair(file_shape(wide.shape(), channels_last), channels_last,
                [&](int64_t ours, int64_t file) { values[static_cast<size_t>(file)] = in[ours]; });
  return values;
}

Tolerances tolerances(DType dtype, const Value& mode_results) {
  if (dtype == DType::F64) return {};
  const Value& floor = need(mode_results, "fp32_noise_floor");
  const auto noise = [&](std::string_view key) {
    const Value* value = floor.find(key);
    return value == nullptr || value->is(Value::Type::Null) ? 0.0 : value->as_real();
  };
  const double least = math_mode().winograd ? 2e-4 : 1e-5;
  const auto allow = [&](double measured) { return std::max(least, 20 * measured); };
  return {.output = allow(noise("output_rel_l2")),
          .loss = allow(noise("loss_abs")),
          .gradient = allow(noise("grad_norm_max_rel")),
          .compare_step = false};
}

std::string compare_output(const std::vector<double>& ours, const Shape& shape, const Value& reference,
                           double tolerance) {
  const Shape expected = read_shape(need(reference, "shape"));
  if (!(shape == expected)) return concat("shape ", shape, ", reference ", expected);
  const Value* all = reference.find("values");
  std::vector<double> values;
  std::vector<size_t> places;
  if (all != nullptr) {
    values = read_reals(*all);
    for (size_t i = 0; i < values.size(); ++i) places.push_back(i);
  } else {
    values = read_reals(need(reference, "sample_values"));
    for (const Value& item : need(reference, "sample_idx").items())
      places.push_back(static_cast<size_t>(item.as_int()));
  }
  LATHE_CHECK(FormatError, places.size() == values.size() && !values.empty(), "output: ", values.size(),
              " values for ", places.size(), " places");
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < values.size(); ++i) {
    LATHE_CHECK(FormatError, places[i] < ours.size(), "output: there is no element ", places[i]);
    const double mine = ours[places[i]];
    if (differs(mine, values[i], tolerance * largest))
      return complain(concat("element ", places[i]), mine, values[i], tolerance * largest);
  }
  const double l2 = need(reference, "l2").as_real();
  if (differs(norm(ours), l2, tolerance * l2)) return complain("l2", norm(ours), l2, tolerance * l2);
  return {};
}

std::string compare_number(double ours, double reference, double tolerance) {
  const double allowed = tolerance * std::max(1.0, std::abs(reference));
  return differs(ours, reference, allowed) ? complain("value", ours, reference, allowed) : std::string();
}

namespace {

// l2, sum, first, middle, last
std::array<double, 5> columns(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return {norm(values), sum, values.front(), values[values.size() / 2], values.back()};
}

}  // namespace

Value columns_of(const Tensor& tensor, bool channels_last) {
  std::vector<Value> row;
  for (const double value : columns(to_file(tensor, channels_last))) row.push_back(Value::real(value));
  return Value::array(row);
}

std::string compare_columns(const std::vector<double>& ours, const Value& reference, double tolerance) {
  const std::vector<double> expected = read_reals(reference);
  LATHE_CHECK(FormatError, expected.size() == 5, "a reference row has ", expected.size(),
              " columns, expected l2, sum, first, mid, last");
  if (ours.empty()) return "the tensor is empty";
  const std::array<double, 5> found = columns(ours);
  constexpr std::array<const char*, 5> kNames = {"l2", "sum", "first", "mid", "last"};
  for (size_t i = 0; i < found.size(); ++i) {
    const double spread = i == 1 ? std::sqrt(static_cast<double>(ours.size())) : 1;
    const double allowed = tolerance * expected[0] * spread;
    if (differs(found[i], expected[i], allowed)) return complain(kNames[i], found[i], expected[i], allowed);
  }
  return {};
}

std::string compare_zero(const std::vector<double>& ours, double tolerance) {
  for (size_t i = 0; i < ours.size(); ++i) {
    if (differs(ours[i], 0, tolerance)) return complain(concat("element ", i), ours[i], 0, tolerance);
  }
  return {};
}

}  // namespace lathe::golden
