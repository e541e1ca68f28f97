#pragma once
// What a section of a golden quantizer file is compared with.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "autograd/var.h"
#include "core/value.h"
#include "tests/golden/model_compare.h"
#include "tests/golden/result.h"

namespace lathe::golden {

/// Collects the comparisons of one section.
class QuantCheck {
 public:
  QuantCheck(std::string file, std::string section) : file_(std::move(file)), section_(std::move(section)) {}
  /// |ours - reference| <= 1e-10, or 1e-8 of values above 1000 (golden/README.md).
  void equal(const std::string& what, const std::vector<double>& ours, const std::vector<double>& reference,
             double tolerance = 1e-10);
  void equal(const std::string& what, double ours, double reference, double tolerance = 1e-10) {
    equal(what, std::vector<double>{ours}, std::vector<double>{reference}, tolerance);
  }
  void equal(const std::string& what, const Tensor& ours, const Value& reference, double tolerance = 1e-10);
  void fail(const std::string& what, const std::string& message);
  std::vector<GoldenResult> take() { return std::move(results_); }

 private:
  std::string file_, section_;
  std::vector<GoldenResult> results_;
};

/// The numbers of a list of any depth, row-major.
std::vector<double> flat(const Value& list);
/// A float64 leaf with the numbers and shape of a list, or of a number.
Var leaf(const Value& list, bool requires_grad = true);
Tensor tensor_of(const std::vector<double>& values);

/// name of a section's case, or of the section
std::string case_name(const Value& one);

/// A section's comparison; null: there is no counterpart yet, `missing` says what.
struct QuantRow {
  const char* file;
  const char* section;
  void (*run)(QuantCheck& check, const Value& section);
  const char* missing = "";
  bool whole_file = false;  ///< run is given the file, for what stands beside the section
};
// The table, by subject.
std::vector<QuantRow> uniform_rows();
std::vector<QuantRow> learned_rows();
std::vector<QuantRow> oscillation_rows();
std::vector<QuantRow> accounting_rows();

}  // namespace lathe::golden
