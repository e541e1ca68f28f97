#include "tests/golden/op_run.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "core/error.h"

namespace lathe::golden {
namespace {

// Position in the file of each of our elements, in our order.
std::vector<int64_t> positions(const Shape& file_shape, const Layout& layout) {
  const int rank = file_shape.rank();
  std::vector<int64_t> strides(static_cast<size_t>(rank), 1), index(static_cast<size_t>(rank), 0);
  for (int i = rank - 2; i >= 0; --i)
    strides[static_cast<size_t>(i)] = strides[static_cast<size_t>(i) + 1] * file_shape[i + 1];
  std::vector<int64_t> result(static_cast<size_t>(file_shape.numel()));
  for (int64_t& position : result) {
    position = 0;
    for (size_t i = 0; i < index.size(); ++i) position += index[i] * strides[static_cast<size_t>(layout[i])];
    for (int i = rank - 1; i >= 0; --i) {
      if (++index[static_cast<size_t>(i)] < file_shape[layout[static_cast<size_t>(i)]]) break;
      index[static_cast<size_t>(i)] = 0;
    }
  }
  return result;
}

Layout identity(int rank) {
  Layout layout(static_cast<size_t>(rank));
  for (int i = 0; i < rank; ++i) layout[static_cast<size_t>(i)] = i;
  return layout;
}

Shape arranged(const Shape& file_shape, const Layout& layout) {
  LATHE_CHECK(ShapeError, static_cast<int>(layout.size()) == file_shape.rank(), "golden: a layout of ",
              layout.size(), " axes for shape ", file_shape);
  std::vector<int64_t> dims;
  for (const int axis : layout) dims.push_back(file_shape[axis]);
  return Shape(std::span<const int64_t>(dims));
}

}  // namespace

Layout channels_last(int rank) {
  if (rank < 3) return identity(rank);
  Layout layout{0};
  for (int i = 2; i < rank; ++i) layout.push_back(i);
  layout.push_back(1);
  return layout;
}

const Value* OpRun::find_attr(const std::string& key) {
  used_attrs_.insert(key);
  const Value* value = file_.attrs.find(key);
  if (value != nullptr && value->is(Value::Type::Null))
    throw Unsupported(concat(file_.op, " with ", key, " = null"));
  return value;
}

bool OpRun::is_null(std::string_view key) const {
  const Value* value = file_.attrs.find(key);
  return value != nullptr && value->is(Value::Type::Null);
}

const Value& OpRun::attr(const std::string& key) {
  const Value* value = find_attr(key);
  LATHE_CHECK(FormatError, value != nullptr, file_.op, ": the attribute \"", key, "\" is missing");
  return *value;
}

int64_t OpRun::integer(const std::string& key) {
  return attr(key).as_int();
}
int64_t OpRun::integer(const std::string& key, int64_t fallback) {
  const Value* value = find_attr(key);
  return value == nullptr ? fallback : value->as_int();
}
double OpRun::real(const std::string& key) {
  return attr(key).as_real();
}
double OpRun::real(const std::string& key, double fallback) {
  const Value* value = find_attr(key);
  return value == nullptr ? fallback : value->as_real();
}
bool OpRun::boolean(const std::string& key, bool fallback) {
  const Value* value = find_attr(key);
  return value == nullptr ? fallback : value->as_bool();
}
std::string OpRun::text(const std::string& key, const std::string& fallback) {
  const Value* value = find_attr(key);
  return value == nullptr ? fallback : value->as_string();
}

std::vector<int64_t> OpRun::integers(const std::string& key, size_t count, int64_t fallback) {
  const Value* value = find_attr(key);
  if (value == nullptr) return std::vector<int64_t>(count, fallback);
  if (value->is(Value::Type::Int)) return std::vector<int64_t>(count, value->as_int());
  std::vector<int64_t> result;
  for (const Value& item : value->items()) result.push_back(item.as_int());
  LATHE_CHECK(FormatError, result.size() == count, file_.op, ": the attribute \"", key, "\" has ",
              result.size(), " numbers, expected ", count);
  return result;
}

const Array& OpRun::array(const std::string& name) {
  used_inputs_.insert(name);
  const Array* found = find(file_.inputs, name);
  LATHE_CHECK(FormatError, found != nullptr, file_.op, ": the input \"", name, "\" is missing");
  return *found;
}

std::vector<std::string> OpRun::input_names() const {
  std::vector<std::string> names;
  for (const auto& [name, array] : file_.inputs) names.push_back(name);
  return names;
}

int OpRun::rank(const std::string& name) const {
  const Array* found = find(file_.inputs, name);
  LATHE_CHECK(FormatError, found != nullptr, file_.op, ": the input \"", name, "\" is missing");
  return found->shape.rank();
}

Tensor OpRun::tensor(const Array& array, const Layout& layout, DType dtype) const {
  const Layout axes = layout.empty() ? identity(array.shape.rank()) : layout;
  Tensor result = Tensor::empty(arranged(array.shape, axes), dtype);
  const std::vector<int64_t> from = positions(array.shape, axes);
  dispatch_element(dtype, [&]<class T>() {
    T* out = result.mut<T>();
    for (size_t i = 0; i < from.size(); ++i)
      out[i] = static_cast<T>(array.values[static_cast<size_t>(from[i])]);
  });
  return result;
}

Var OpRun::input(const std::string& name, const Layout& layout) {
  const bool wanted = find(file_.grad_inputs, name) != nullptr;
  Var leaf(tensor(array(name), layout, dtype_), wanted);
  if (wanted) leaves_.push_back({name, leaf, layout});
  return leaf;
}

Var OpRun::optional(const std::string& name, const Layout& layout) {
  return has_input(name) ? input(name, layout) : Var();
}

Tensor OpRun::constant(const std::string& name, const Layout& layout) {
  return tensor(array(name), layout, dtype_);
}
Tensor OpRun::indices(const std::string& name, const Layout& layout) {
  return tensor(array(name), layout, DType::I64);
}
Tensor OpRun::flags(const std::string& name) {
  return tensor(array(name), {}, DType::U8);
}

void OpRun::output(const std::string& name, const Var& value, const Layout& layout) {
  outputs_.push_back({name, value, layout});
}

void OpRun::check_all_used() const {
  for (const auto& [key, value] : file_.attrs.members()) {
    // Strings are notes, and null says that there is none of it.
    if (value.is(Value::Type::String) || value.is(Value::Type::Null) || used_attrs_.contains(key)) continue;
    throw Unsupported(concat(file_.op, " with the attribute \"", key, "\""));
  }
  for (const auto& [name, array] : file_.inputs) {
    if (!used_inputs_.contains(name)) throw Unsupported(concat(file_.op, " with the input \"", name, "\""));
  }
}

void OpRun::run_backward() {
  Var total;
  int count = 0;
  for (const auto& [name, reference] : file_.grad_outputs) {
    const auto& wanted = name;
    const auto it = std::find_if(outputs_.begin(), outputs_.end(),
                                 [&](const Leaf& output) { return output.name == wanted; });
    LATHE_CHECK(FormatError, it != outputs_.end(), file_.op, ": no output \"", name, "\" was computed");
    const Tensor dy = tensor(reference, it->layout, dtype_);
    if (file_.grad_outputs.size() == 1) return backward(it->var, dy);
    const Var term = sum(mul(it->var, Var(dy)));
    total = count++ == 0 ? term : add(total, term);
  }
  if (count > 0) backward(total);
}

GoldenResult OpRun::compare(const std::string& what, const Tensor& ours, const Array& reference,
                            const Layout& layout) const {
  GoldenResult result{file_.name, concat(what, " ", dtype_), GoldenResult::Passed, ""};
  const Layout axes = layout.empty() ? identity(reference.shape.rank()) : layout;
  if (ours.shape() != arranged(reference.shape, axes)) {
    result.status = GoldenResult::Failed;
    result.message = concat("shape ", ours.shape(), ", expected ", arranged(reference.shape, axes));
    return result;
  }
  double largest = 1;
  for (const double value : reference.values) largest = std::max(largest, std::abs(value));
  const double fallback = dtype_ == DType::F64 ? 1e-9 : 1e-5;
  const double bound = (file_.tol > 0 ? file_.tol : fallback) * largest;
  const Tensor found = ours.to(DType::F64);
  const std::vector<int64_t> from = positions(reference.shape, axes);
  double worst = -1;
  for (size_t i = 0; i < from.size(); ++i) {
    const double a = found.ptr<double>()[i], b = reference.values[static_cast<size_t>(from[i])];
    const double difference = std::abs(a - b);
    if (difference <= bound || difference <= worst) continue;
    worst = difference;
    result.status = GoldenResult::Failed;
    result.message = concat("element ", from[i], " is ", a, ", reference ", b, ", difference ", difference,
                            ", allowed ", bound);
    if (std::isnan(difference)) break;
  }
  return result;
}

std::vector<GoldenResult> OpRun::finish() {
  check_all_used();
  std::vector<GoldenResult> results;
  for (const auto& [name, reference] : file_.outputs) {
    const auto& wanted = name;
    const auto it = std::find_if(outputs_.begin(), outputs_.end(),
                                 [&](const Leaf& output) { return output.name == wanted; });
    LATHE_CHECK(FormatError, it != outputs_.end(), file_.op, ": no output \"", name, "\" was computed");
    results.push_back(compare(name, it->var.data(), reference, it->layout));
  }
  if (file_.grad_outputs.empty()) return results;
  run_backward();
  for (const auto& [name, reference] : file_.grad_inputs) {
    const auto& wanted = name;
    const auto it =
        std::find_if(leaves_.begin(), leaves_.end(), [&](const Leaf& leaf) { return leaf.name == wanted; });
    LATHE_CHECK(FormatError, it != leaves_.end(), file_.op, ": \"", name, "\" was given no gradient");
    const Tensor& grad = it->var.grad();
    const Tensor zeros = it->var.data().zeros_like();
    results.push_back(compare(concat("grad ", name), grad.defined() ? grad : zeros, reference, it->layout));
  }
  return results;
}

}  // namespace lathe::golden
