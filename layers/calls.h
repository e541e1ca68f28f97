#pragma once
// Call numbers of the modules of a tree, internal to layers/.

#include <cstdint>
#include <map>

#include "layers/module.h"

namespace lathe {

/// Calls so far in one forward; looked up by module, never iterated.
using CallCounts = std::map<const Module*, uint32_t>;

/// While alive, the tree of `module` counts on from `counts`; the count before it comes back afterwards.
class CallReplay {
 public:
  CallReplay(const Module& module, CallCounts counts);
  CallReplay(const CallReplay&) = delete;
  CallReplay& operator=(const CallReplay&) = delete;
  ~CallReplay();

  static CallCounts counts(const Module& module);  ///< of the tree, now

 private:
  const Module& module_;
  CallCounts previous_;
  bool was_replaying_;
};

}  // namespace lathe
