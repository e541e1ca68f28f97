#pragma once
// The entries of quantizer_registry(): one for each method.

#include "quant/quantizer.h"

namespace lathe {

QuantizerRegistry::Entry minmax_method();
QuantizerRegistry::Entry absmax_method();
QuantizerRegistry::Entry lsq_method();
QuantizerRegistry::Entry lsq_plus_method();
QuantizerRegistry::Entry diffq_method();
QuantizerRegistry::Entry codeq_method();
QuantizerRegistry::Entry quant_noise_method();
QuantizerRegistry::Entry dq_method();
QuantizerRegistry::Entry float16_method();

/// The entry of quantizer Q, made from (Options, Site).
template <class Q, class Options>
QuantizerRegistry::Entry make_method(std::string name, std::string doc, Options defaults) {
  return make_entry<std::shared_ptr<Quantizer>, const Quantizer::Site&>(
      std::move(name), std::move(doc), std::move(defaults),
      [](const Options& options, const Quantizer::Site& site) -> std::shared_ptr<Quantizer> {
        return std::make_shared<Q>(options, site);
      });
}

}  // namespace lathe
