#include "train/version.h"

namespace lathe {

std::string_view version() {
  return LATHE_VERSION;
}

std::string_view build_description() {
  return __VERSION__
#if LATHE_ASSERTS
      ", assertions on"
#else
      ", assertions off"
#endif
#if defined(__SANITIZE_ADDRESS__)
      ", sanitizers"
#endif
      ;
}

}  // namespace lathe
