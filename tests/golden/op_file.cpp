#include "tests/golden/op_file.h"

#include <algorithm>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"

namespace lathe::golden {
namespace {

const Value& field(const Value& object, std::string_view key, std::string_view source) {
  const Value* value = object.find(key);
  LATHE_CHECK(FormatError, value != nullptr, source, ": the field \"", key, "\" is missing");
  return *value;
}

Array parse_array(const Value& value, std::string_view source) {
  Array array;
  array.dtype = field(value, "dtype", source).as_string();
  const bool known =
      array.dtype == "float64" || array.dtype == "float32" || array.dtype == "int64" || array.dtype == "bool";
  LATHE_CHECK(FormatError, known, source, ": unknown dtype \"", array.dtype, "\"");
  std::vector<int64_t> dims;
  for (const Value& dim : field(value, "shape", source).items()) dims.push_back(dim.as_int());
  array.shape = Shape(std::span<const int64_t>(dims));
  for (const Value& number : field(value, "data", source).items()) array.values.push_back(number.as_real());
  LATHE_CHECK(FormatError, static_cast<int64_t>(array.values.size()) == array.shape.numel(), source, ": ",
              array.values.size(), " numbers for shape ", array.shape);
  return array;
}

NamedArrays parse_arrays(const Value& root, std::string_view key, std::string_view source) {
  NamedArrays arrays;
  for (const auto& [name, value] : field(root, key, source).members())
    arrays.emplace_back(name, parse_array(value, concat(source, ": ", key, ".", name)));
  return arrays;
}

void check_subset(const NamedArrays& part, const NamedArrays& whole, std::string_view what) {
  for (const auto& [name, array] : part) {
    const Array* other = find(whole, name);
    LATHE_CHECK(FormatError, other != nullptr, what, ".", name, " belongs to no tensor of that name");
    LATHE_CHECK(FormatError, other->shape == array.shape, what, ".", name, " has shape ", array.shape,
                ", its tensor has ", other->shape);
  }
}

}  // namespace

const Array* find(const NamedArrays& arrays, std::string_view name) {
  const auto it = std::find_if(arrays.begin(), arrays.end(), [&](const auto& a) { return a.first == name; });
  return it == arrays.end() ? nullptr : &it->second;
}

std::string read_schema(const std::filesystem::path& file) {
  const Value root = parse_json(read_text(file), file.string());
  const Value* schema = root.find("schema");
  return schema != nullptr && schema->is(Value::Type::String) ? schema->as_string() : "";
}

OpFile parse_op_file(std::string_view text, std::string_view source) {
  const Value root = parse_json(text, source);
  LATHE_CHECK(FormatError, root.is(Value::Type::Object), source, ": expected an object");
  const std::string schema = field(root, "schema", source).as_string();
  LATHE_CHECK(FormatError, schema == kOpSchema, source, ": schema \"", schema, "\", expected \"", kOpSchema,
              "\"");
  OpFile file;
  file.name = field(root, "name", source).as_string();
  file.op = field(root, "op", source).as_string();
  file.attrs = field(root, "attrs", source);
  LATHE_CHECK(FormatError, file.attrs.is(Value::Type::Object), source, ": attrs is no object");
  if (const Value* tol = root.find("tol")) file.tol = tol->as_real();
  file.inputs = parse_arrays(root, "inputs", source);
  file.outputs = parse_arrays(root, "outputs", source);
  file.grad_outputs = parse_arrays(root, "grad_outputs", source);
  file.grad_inputs = parse_arrays(root, "grad_inputs", source);
  LATHE_CHECK(FormatError, !file.outputs.empty(), source, ": no outputs");
  check_subset(file.grad_outputs, file.outputs, concat(source, ": grad_outputs"));
  check_subset(file.grad_inputs, file.inputs, concat(source, ": grad_inputs"));
  LATHE_CHECK(FormatError, file.grad_inputs.empty() == file.grad_outputs.empty(), source,
              ": gradients of inputs need gradients of outputs, and the other way round");
  return file;
}

OpFile read_op_file(const std::filesystem::path& file) {
  return parse_op_file(read_text(file), file.string());
}

}  // namespace lathe::golden
