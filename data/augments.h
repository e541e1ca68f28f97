#pragma once
// The kinds of augmentation, for their registry. One line each; their options stand with them.

#include <memory>
#include <string>

#include "data/augment.h"

namespace lathe {

AugmentRegistry::Entry random_resized_crop_augment();
AugmentRegistry::Entry random_erasing_augment();
AugmentRegistry::Entry color_jitter_augment();
AugmentRegistry::Entry rand_augment_augment();
AugmentRegistry::Entry mixup_augment();
AugmentRegistry::Entry cutmix_augment();
AugmentRegistry::Entry mixup_cutmix_augment();

/// An entry whose kind is made from its options, or from (options, where).
template <class Kind, class Options>
AugmentRegistry::Entry augment_entry(std::string name, std::string doc) {
  return make_entry<std::unique_ptr<Augment>>(std::move(name), std::move(doc), Options{},
                                              [](const Options& options, const FieldPath& where) {
                                                if constexpr (std::is_constructible_v<Kind, const Options&>) {
                                                  return std::make_unique<Kind>(options);
                                                } else {
                                                  return std::make_unique<Kind>(options, where);
                                                }
                                              });
}

/// ConfigError unless these are two numbers in rising order.
void check_range(const std::vector<double>& range, const FieldPath& where);

}  // namespace lathe
