#include "quant/activation.h"

#include "autograd/checkpoint.h"
#include "core/error.h"

namespace lathe {
namespace {

void add_sites(const Module& module, std::vector<QuantSite*>& sites) {
  for (Module* child : module.children()) {
    if (auto* site = dynamic_cast<QuantSite*>(child)) sites.push_back(site);
    add_sites(*child, sites);
  }
}

}  // namespace

ActivationQuantizer::ActivationQuantizer(QuantSite& site, const std::string& method, int bits)
    : Module(site, method), method_(method), bits_(bits), batches_(*this, "batches", {1}, 0) {}

bool ActivationQuantizer::begun() {
  const Tensor& batches = batches_.data();
  if (batches.device().type == DeviceType::Meta) return true;  // a later batch costs what most do
  if (looked_.defined() && looked_.shares_storage(batches) && version_ == batches.version()) return true;
  if (batches.item() == 0) return false;
  looked_ = batches;
  version_ = batches.version();
  return true;
}

Var ActivationQuantizer::apply(const Var& x, const RunState& run, uint32_t) {
  const ErrorScope scope(*this);
  if (run.mode == Mode::Train || observing_) {
    if (!recomputing()) {
      const NoGrad no_grad;
      const bool first = !begun();
      observe(x.data(), first);
      if (first) {
        batches_.data() = Tensor::full({1}, 1, batches_.data().dtype(), batches_.data().device());
        looked_ = batches_.data();
        version_ = looked_.version();
      }
    }
  } else {
    LATHE_CHECK(
        ConfigError, begun(),
        "an activation's range comes from training, and no batch has come this way (few steps, a layer "
        "that was dropped, a band of rare words): expected at least one before evaluation");
  }
  return quantize(x);
}

std::vector<QuantSite*> quant_sites(const Module& model) {
  std::vector<QuantSite*> sites;
  add_sites(model, sites);
  return sites;
}

std::vector<ActivationQuantizer*> activation_quantizers_of(const Module& model) {
  std::vector<ActivationQuantizer*> all;
  for (QuantSite* site : quant_sites(model)) {
    if (auto* quantizer = dynamic_cast<ActivationQuantizer*>(site->attached().get()))
      all.push_back(quantizer);
  }
  return all;
}

std::map<std::string, double> activation_bits(const Module& model) {
  std::map<std::string, double> bits;
  for (QuantSite* site : quant_sites(model)) {
    const auto* quantizer = dynamic_cast<ActivationQuantizer*>(site->attached().get());
    if (quantizer != nullptr) bits[site->path()] = quantizer->bits();
  }
  return bits;
}

}  // namespace lathe
