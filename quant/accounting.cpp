#include "quant/accounting.h"

#include <cmath>

namespace lathe {

std::string_view to_string(Bops convention) {
  switch (convention) {
    case Bops::Mac:
      return "mac";
    case Bops::Uniq:
      return "uniq";
    case Bops::PsQs:
      return "ps_qs";
    case Bops::Sparse:
      return "sparse";
  }
  return "unknown";
}

double bops(Bops convention, const LayerCost& layer) {
  const double macs = static_cast<double>(layer.macs), product = layer.weight_bits * layer.activation_bits;
  const double accumulator =
      layer.weight_bits + layer.activation_bits + std::log2(static_cast<double>(layer.fan_in));
  switch (convention) {
    case Bops::Mac:
      return macs * product;
    case Bops::Uniq:
      return macs * (product + accumulator);
    case Bops::PsQs:
      return macs * (layer.density * product + accumulator);
    case Bops::Sparse:
      return macs * layer.density * product;
  }
  return 0;
}

double structured_macs(int64_t macs, double zero_inputs, double zero_outputs) {
  return static_cast<double>(macs) * (1 - zero_inputs) * (1 - zero_outputs);
}

}  // namespace lathe
