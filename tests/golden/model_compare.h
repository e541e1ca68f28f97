#pragma once
// Reference values of golden model files, and what equals them.

#include <string>
#include <vector>

#include "core/tensor.h"
#include "core/value.h"
#include "tests/golden/result.h"

namespace lathe::golden {

/// Member `key` of an object; FormatError naming the key when there is none.
const Value& need(const Value& object, std::string_view key);
Shape read_shape(const Value& list);
std::vector<double> read_reals(const Value& list);

/// A file's numbers (channels first) as one of our tensors, and back. `channels_last`: our last axis is the
/// file's second.
Tensor from_file(const std::vector<double>& values, const Shape& shape, bool channels_last, DType dtype);
std::vector<double> to_file(const Tensor& tensor, bool channels_last);
/// The file's shape of ours.
Shape file_shape(const Shape& shape, bool channels_last);

/// Deviation allowed in one mode and element type, from the file's float32 noise; more where math_mode()
/// allows Winograd's convolutions.
struct Tolerances {
  double output = 1e-9;           ///< of max |output|
  double loss = 1e-9;             ///< of max(1, |loss|)
  double gradient = 1e-9;         ///< of the tensor's norm; also of running statistics
  /// The loss after an SGD step, like `loss`. False in float32: files give no noise for it, and weights
  /// rounded to float32 alone can move it by 5 % where a ReLU switches (cifar_mobilenet, measured in
  /// float64).
  bool compare_step = true;
};
Tolerances tolerances(DType dtype, const Value& mode_results);

/// Each returns the complaint, empty when all is well.
std::string compare_output(const std::vector<double>& ours, const Shape& shape, const Value& reference,
                           double tolerance);
std::string compare_number(double ours, double reference, double tolerance);
/// The columns l2, sum, first, middle, last: a row of a file, or that of one of our tensors.
Value columns_of(const Tensor& tensor, bool channels_last);
std::string compare_columns(const std::vector<double>& ours, const Value& reference, double tolerance);
std::string compare_zero(const std::vector<double>& ours, double tolerance);

}  // namespace lathe::golden
