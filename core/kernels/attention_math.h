#pragma once
// Which keys a query of attention sees.

#include <cstdint>

#include "core/hd.h"

namespace lathe::math {

/// Keys that query t sees: the first ones of this many. With `causal` the last query sees all of them, each
/// one before it one fewer.
LATHE_HD_INLINE int64_t keys_seen(int64_t t, int64_t queries, int64_t keys, bool causal) {
  if (!causal) return keys;
  const int64_t limit = t + 1 + keys - queries;
  return limit < 0 ? 0 : limit < keys ? limit : keys;
}

}  // namespace lathe::math
