#pragma once
// The edge between a golden op file and the library: hands out inputs in our layout, takes outputs, runs
// backward and compares with the reference.

#include <set>
#include <string>
#include <vector>

#include "autograd/var.h"
#include "tests/golden/op_file.h"
#include "tests/golden/result.h"

namespace lathe::golden {

/// Thrown by a runner for a variant of an op that the library does not have ("pad mode reflect").
class Unsupported : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Axis i of our tensor is axis layout[i] of the file's; empty means the same order.
using Layout = std::vector<int>;

/// (N, C, ...) to (N, ..., C) for tensors of this rank; convolution weights move the same way.
Layout channels_last(int rank);

class OpRun {
 public:
  OpRun(const OpFile& file, DType dtype) : file_(file), dtype_(dtype) {}

  DType dtype() const { return dtype_; }

  /// Attributes. The forms with a fallback accept a missing key. ConfigError for a wrong type, Unsupported
  /// for null.
  bool has_attr(std::string_view key) const { return file_.attrs.find(key) != nullptr; }
  bool is_null(std::string_view key) const;
  int64_t integer(const std::string& key);
  int64_t integer(const std::string& key, int64_t fallback);
  double real(const std::string& key);
  double real(const std::string& key, double fallback);
  bool boolean(const std::string& key, bool fallback);
  std::string text(const std::string& key, const std::string& fallback);
  /// `count` numbers, or one number for all of them.
  std::vector<int64_t> integers(const std::string& key, size_t count, int64_t fallback);
  const Value& attr(const std::string& key);

  bool has_input(std::string_view name) const { return find(file_.inputs, name) != nullptr; }
  std::vector<std::string> input_names() const;
  int rank(const std::string& name) const;
  /// A leaf; it requires a gradient if the file has one for it.
  Var input(const std::string& name, const Layout& layout = {});
  /// The same, or undefined when the file has no such input.
  Var optional(const std::string& name, const Layout& layout = {});
  /// Without gradient, in the run's element type.
  Tensor constant(const std::string& name, const Layout& layout = {});
  Tensor indices(const std::string& name, const Layout& layout = {});  ///< i64
  Tensor flags(const std::string& name);                               ///< u8

  void output(const std::string& name, const Var& value, const Layout& layout = {});

  /// Backward from the file's output gradients, then every comparison. Anything of the file that was not used
  /// is a failure, or Unsupported where it would change the meaning of the op.
  std::vector<GoldenResult> finish();

 private:
  struct Leaf {
    std::string name;
    Var var;
    Layout layout;
  };
  const Value* find_attr(const std::string& key);
  const Array& array(const std::string& name);
  Tensor tensor(const Array& array, const Layout& layout, DType dtype) const;
  void check_all_used() const;
  void run_backward();
  GoldenResult compare(const std::string& what, const Tensor& ours, const Array& reference,
                       const Layout& layout) const;

  const OpFile& file_;
  DType dtype_;
  std::set<std::string> used_attrs_, used_inputs_;
  std::vector<Leaf> leaves_, outputs_;
};

}  // namespace lathe::golden
