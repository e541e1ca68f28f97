#include "quant/activations/methods.h"

namespace lathe {

const ActivationRegistry& activation_registry() {
  static const ActivationRegistry registry("activation quantizer", {lsq_activation(), lsq_plus_activation(),
                                                                    minmax_activation(), pact_activation()});
  return registry;
}

}  // namespace lathe
