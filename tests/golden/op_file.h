#pragma once
// A golden op file: one op, its inputs and the reference values (schema "op-golden-v1").

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/shape.h"
#include "core/value.h"

namespace lathe::golden {

/// Row-major numbers in the reference's own layout (channels first).
struct Array {
  Shape shape;
  std::string dtype;           ///< "float64", "float32", "int64" or "bool"
  std::vector<double> values;  ///< integers are exact up to 2^53
};

using NamedArrays = std::vector<std::pair<std::string, Array>>;
const Array* find(const NamedArrays& arrays, std::string_view name);  ///< null when there is none

struct OpFile {
  std::string name, op;
  Value attrs;
  double tol = 0;  ///< 0: the default of the element type
  NamedArrays inputs, outputs;
  NamedArrays grad_outputs;  ///< of some of the outputs, same shapes
  NamedArrays grad_inputs;   ///< of some of the inputs, same shapes
};

inline constexpr std::string_view kOpSchema = "op-golden-v1";
inline constexpr std::string_view kModelSchema = "model-golden-v1";

/// The `schema` field of a golden file, empty when it has none. ConfigError for invalid JSON.
std::string read_schema(const std::filesystem::path& file);

/// FormatError or ConfigError, naming the file, unless every field is there and the shapes agree.
OpFile read_op_file(const std::filesystem::path& file);
OpFile parse_op_file(std::string_view text, std::string_view source);

}  // namespace lathe::golden
