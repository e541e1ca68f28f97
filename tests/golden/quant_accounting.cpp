// Golden file 15: bit operations and sizes.

#include "core/json.h"
#include "models/registry.h"
#include "quant/accounting.h"
#include "tests/golden/quant_check.h"
#include "train/model_state.h"

namespace lathe::golden {
namespace {

int64_t whole(const Value& one, std::string_view key) {
  return need(one, key).as_int();
}

int64_t dense_macs(const Value& one) {
  return whole(one, "cin") * whole(one, "cout") * whole(one, "k") * whole(one, "k") * whole(one, "h") *
         whole(one, "w");
}

LayerCost cost_of(const Value& one) {
  return {.macs = dense_macs(one),
          .weight_bits = need(one, "b_w").as_real(),
          .density = need(one, "nnz").as_real() / need(one, "numel").as_real()};
}

// The file's sums stand beside its layers.
void layers(QuantCheck& check, const Value& root) {
  double total = 0, baseline = 0;
  for (const Value& one : need(root, "layers").items()) {
    const std::string name = case_name(one);
    const LayerCost cost = cost_of(one);
    const double dense = bops(Bops::Mac, {.macs = cost.macs}), sparse = bops(Bops::Sparse, cost);
    check.equal(name + " macs_dense", static_cast<double>(cost.macs), need(one, "macs_dense").as_real());
    check.equal(name + " density", cost.density, need(one, "density").as_real());
    check.equal(name + " bops_dense_fp32", dense, need(one, "bops_dense_fp32").as_real());
    check.equal(name + " bops_unstructured", sparse, need(one, "bops_unstructured").as_real());
    total += sparse;
    baseline += dense;
  }
  check.equal("total_bops", total, need(root, "total_bops").as_real());
  check.equal("baseline_bops", baseline, need(root, "baseline_bops").as_real());
  check.equal("relative_bops", total / baseline, need(root, "relative_bops").as_real());
}

void structured(QuantCheck& check, const Value& root) {
  const Value& one = need(root, "structured_example");
  const double macs =
      structured_macs(dense_macs(one), need(one, "p_in").as_real(), need(one, "p_out").as_real());
  check.equal("macs", macs, need(one, "macs").as_real());
  const LayerCost cost{.macs = static_cast<int64_t>(macs),
                       .weight_bits = need(one, "b_w").as_real(),
                       .activation_bits = need(one, "b_a").as_real()};
  check.equal("bops", bops(Bops::Mac, cost), need(one, "bops").as_real());
}

void lsq_size(QuantCheck& check, const Value& root) {
  const Value& one = need(root, "lsq_size_bits");
  check.equal(
      "total",
      static_cast<double>(scaled_size_bits(whole(one, "numel"), static_cast<int>(whole(one, "bits")))),
      need(one, "total").as_real());
}

void uniform_size(QuantCheck& check, const Value& root) {
  const Value& one = need(root, "uniform_size_bits");
  check.equal(
      "total",
      static_cast<double>(ranged_size_bits(whole(one, "numel"), static_cast<int>(whole(one, "bits")))),
      need(one, "total").as_real());
}

int64_t parameters_of(const std::string& section) {
  return parameter_count(*model_registry().build(parse_json(section, "golden"), {"golden", "model"},
                                                 {.device = Device::meta()}));
}

void paper_sizes(QuantCheck& check, const Value& root) {
  const Value& one = need(root, "paper_size_checks");
  const std::pair<const char*, const char*> kModels[] = {
      {"resnet18_cifar10_params", R"({"type": "resnet18_cifar", "classes": 10})"},
      {"wrn28_10_cifar100_params", R"({"type": "wrn28_10", "classes": 100})"},
      {"resnet20_params", R"({"type": "resnet20", "classes": 10})"},
      {"deit_b_params", R"({"type": "deit_base"})"}};
  for (const auto& [key, section] : kModels)
    check.equal(key, static_cast<double>(parameters_of(section)), need(one, key).as_real());
  const std::pair<const char*, const char*> kSizes[] = {
      {"resnet18_cifar10_params", "resnet18_cifar10_MB_fp32"},
      {"wrn28_10_cifar100_params", "wrn28_10_cifar100_MB"},
      {"resnet20_params", "resnet20_MB"},
      {"deit_b_params", "deit_b_MB"}};
  for (const auto& [count, size] : kSizes)
    check.equal(size, float_mebibytes(whole(one, count)), need(one, size).as_real());
}

}  // namespace

std::vector<QuantRow> accounting_rows() {
  constexpr const char* kFile = "15_bops_sizes";
  return {
      {kFile, "layers", layers, "", true},
      {kFile, "structured_example", structured, "", true},
      {kFile, "lsq_size_bits", lsq_size, "", true},
      {kFile, "uniform_size_bits", uniform_size, "", true},
      {kFile, "paper_size_checks", paper_sizes, "", true},
  };
}

}  // namespace lathe::golden
