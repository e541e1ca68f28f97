#include "quant/methods/methods.h"

namespace lathe {

const QuantizerRegistry& quantizer_registry() {
  static const QuantizerRegistry registry(
      "quantizer", {minmax_method(), absmax_method(), lsq_method(), diffq_method(), codeq_method()});
  return registry;
}

}  // namespace lathe
