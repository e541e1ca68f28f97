#include "quant/methods/methods.h"

namespace lathe {

const QuantizerRegistry& quantizer_registry() {
  static const QuantizerRegistry registry(
      "quantizer", {minmax_method(), absmax_method(), lsq_method(), lsq_plus_method(), diffq_method(),
                    codeq_method(), quant_noise_method(), dq_method(), float16_method()});
  return registry;
}

}  // namespace lathe
