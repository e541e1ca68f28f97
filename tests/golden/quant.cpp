#include "tests/golden/quant.h"

#include <algorithm>
#include <cmath>

#include "core/files.h"
#include "core/json.h"
#include "tests/golden/quant_check.h"

namespace lathe::golden {
namespace {

namespace fs = std::filesystem;

// Sections that explain, or show defects of the reference: nothing to compare (golden/README.md).
bool is_information(std::string_view file, std::string_view section) {
  static constexpr std::string_view kAnywhere[] = {"method", "rounding", "source", "note", "formula"};
  static constexpr std::pair<std::string_view, std::string_view> kInFiles[] = {
      {"06_diffq_state_packing_edges", "bitpack"},
      {"06_diffq_state_packing_edges", "torch_pack"},
      {"06_diffq_state_packing_edges", "torch_pack_40"},
      {"06_diffq_state_packing_edges", "bitpack_100"},
      {"06_diffq_state_packing_edges", "auto_nbits"},
      {"06_diffq_state_packing_edges", "packed_state"},
      {"06_diffq_state_packing_edges", "packed_restore_max_err"},
      {"06_diffq_state_packing_edges", "edge_cases_observed"},
      {"08_codeq_decay", "adamw_equilibrium_constant_gradient"},
      {"08_codeq_decay", "note_equilibrium"},
      {"08_codeq_decay", "adamw_settings"},
      {"09_oscillation_regularizer_and_toy", "quantizer_source"},
      {"09_oscillation_regularizer_and_toy", "toy_law"},
      {"09_oscillation_regularizer_and_toy", "toy_frequency_window"},
      {"15_bops_sizes", "total_bops"},  // these three are compared with the layers
      {"15_bops_sizes", "baseline_bops"},
      {"15_bops_sizes", "relative_bops"},
      {"11_quantnoise_pq", "persistence_of_released_hook"},
      {"11_quantnoise_pq", "product_quantization"},
      {"11_quantnoise_pq", "pq_size_formula"},
      {"11_quantnoise_pq", "pq_size_example"},
      {"12_dq", "penalty"},
      {"13_activation_pact_dorefa_nipq", "dorefa"},
      {"13_activation_pact_dorefa_nipq", "nipq"},
      {"13_activation_pact_dorefa_nipq", "nipq_source"},
  };
  return std::find(std::begin(kAnywhere), std::end(kAnywhere), section) != std::end(kAnywhere) ||
         std::find(std::begin(kInFiles), std::end(kInFiles), std::pair(file, section)) !=
             std::end(kInFiles) ||
         file == "14_gradcheck_results";
}

const std::vector<QuantRow>& rows() {
  static const std::vector<QuantRow> all = [] {
    std::vector<QuantRow> table = uniform_rows();
    for (const std::vector<QuantRow>& more : {learned_rows(), oscillation_rows(), accounting_rows()})
      table.insert(table.end(), more.begin(), more.end());
    return table;
  }();
  return all;
}

std::vector<GoldenResult> run_section(const std::string& file, const std::string& name, const Value& root) {
  const auto row = std::find_if(rows().begin(), rows().end(),
                                [&](const QuantRow& one) { return one.file == file && one.section == name; });
  if (row == rows().end()) {
    if (is_information(file, name)) return {};
    return {{file, name, GoldenResult::Unsupported, "no counterpart of this section"}};
  }
  if (row->run == nullptr) return {{file, name, GoldenResult::Unsupported, row->missing}};
  QuantCheck check(file, name);
  try {
    row->run(check, row->whole_file ? root : *root.find(name));
  } catch (const std::exception& error) {
    check.fail("", error.what());
  }
  std::vector<GoldenResult> results = check.take();
  if (results.empty()) results.push_back({file, name, GoldenResult::Failed, "nothing was compared"});
  return results;
}

void flatten(const Value& value, std::vector<double>& out) {
  if (value.is(Value::Type::Array)) {
    for (const Value& item : value.items()) flatten(item, out);
  } else {
    out.push_back(value.as_real());
  }
}

}  // namespace

void QuantCheck::equal(const std::string& what, const std::vector<double>& ours,
                       const std::vector<double>& reference, double tolerance) {
  if (ours.size() != reference.size())
    return fail(what, concat(ours.size(), " values, the file has ", reference.size()));
  for (size_t i = 0; i < ours.size(); ++i) {
    const double relative = std::abs(reference[i]) > 1e3 ? 1e-8 * std::abs(reference[i]) : 0.0;
    if (!(std::abs(ours[i] - reference[i]) <= std::max(tolerance, relative)))
      return fail(what, concat("element ", i, " is ", ours[i], ", the file has ", reference[i]));
  }
  results_.push_back({file_, section_ + " " + what, GoldenResult::Passed, ""});
}

void QuantCheck::equal(const std::string& what, const Tensor& ours, const Value& reference,
                       double tolerance) {
  if (!ours.defined()) return fail(what, "there is none");
  const Tensor wide = ours.to(DType::F64);
  equal(what, std::vector<double>(wide.ptr<double>(), wide.ptr<double>() + wide.numel()), flat(reference),
        tolerance);
}

void QuantCheck::fail(const std::string& what, const std::string& message) {
  results_.push_back({file_, section_ + " " + what, GoldenResult::Failed, message});
}

std::vector<double> flat(const Value& list) {
  std::vector<double> out;
  flatten(list, out);
  return out;
}

Tensor tensor_of(const std::vector<double>& values) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())});
}

Var leaf(const Value& list, bool requires_grad) {
  std::vector<int64_t> dims;
  for (const Value* v = &list; v->is(Value::Type::Array); v = &v->items().front())
    dims.push_back(static_cast<int64_t>(v->items().size()));
  if (dims.empty()) dims.push_back(1);
  return Var(Tensor::from(flat(list), Shape(std::span<const int64_t>(dims))), requires_grad);
}

std::string case_name(const Value& one) {
  const Value* name = one.find("name");
  return name == nullptr ? std::string() : name->as_string();
}

bool is_quant_golden(const fs::path& file) {
  const std::string name = file.stem().string();
  return is_information(name, "") ||
         std::any_of(rows().begin(), rows().end(), [&](const QuantRow& row) { return row.file == name; });
}

std::vector<GoldenResult> run_quant_golden(const fs::path& path) {
  const std::string file = path.stem().string();
  std::vector<GoldenResult> results;
  try {
    const Value root = parse_json(read_text(path), path.filename().string());
    for (const Value::Member& member : root.members()) {
      for (GoldenResult& result : run_section(file, member.first, root)) results.push_back(std::move(result));
    }
    for (const QuantRow& row : rows()) {
      if (row.file == file && root.find(row.section) == nullptr)
        results.push_back({file, row.section, GoldenResult::Failed, "the file lacks this section"});
    }
    if (!is_quant_golden(path))
      results.push_back({file, "", GoldenResult::Unsupported, "a file of an unknown name"});
  } catch (const std::exception& error) {
    results.push_back({file, "", GoldenResult::Failed, error.what()});
  }
  if (results.empty()) results.push_back({file, "", GoldenResult::Passed, ""});  // information only
  return results;
}

std::vector<GoldenResult> run_quant_goldens(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<GoldenResult> results;
  for (const fs::path& file : files) {
    for (GoldenResult& result : run_quant_golden(file)) results.push_back(std::move(result));
  }
  return results;
}

}  // namespace lathe::golden
