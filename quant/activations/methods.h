#pragma once
// The entries of activation_registry(): one for each method.

#include "quant/activation.h"

namespace lathe {

ActivationRegistry::Entry lsq_activation();
ActivationRegistry::Entry lsq_plus_activation();
ActivationRegistry::Entry minmax_activation();
ActivationRegistry::Entry pact_activation();

/// The entry of quantizer Q, made from (Options, QuantSite&).
template <class Q, class Options>
ActivationRegistry::Entry make_activation(std::string name, std::string doc, Options defaults) {
  return make_entry<std::shared_ptr<ActivationQuantizer>, QuantSite&>(
      std::move(name), std::move(doc), std::move(defaults),
      [](const Options& options, QuantSite& site) -> std::shared_ptr<ActivationQuantizer> {
        return std::make_shared<Q>(options, site);
      });
}

}  // namespace lathe
