#pragma once
// A generated language: nothing to download, and its entropy is known.

#include <cstdint>
#include <string>

#include "data/text.h"

namespace lathe {

struct ProseText {
  std::string text;
  double nats = 0;  ///< -ln of the text's probability under the grammar, over its characters
};

/// `characters` of sentences of an invented language: "a" to "z", space, full stop and line feed. The words
/// are made from `seed`; the text is a function of (seed, split). A subject tends to be the noun that the
/// last sentence ended with; adjectives and verbs depend on their noun, the object on its verb; endings agree
/// in number with a noun some words earlier. Every draw is an integer one that the text reveals, so `nats` is
/// the loss of a reader who knows the grammar: no model can do better on average.
ProseText generate_prose(int64_t characters, uint64_t seed, const std::string& split);

/// The 29 characters there are.
Vocabulary prose_vocabulary();

}  // namespace lathe
