#include "core/math_mode.h"

namespace lathe {
namespace {

thread_local MathMode mode;

}  // namespace

const MathMode& math_mode() {
  return mode;
}

MathModeScope::MathModeScope(const MathMode& now) : previous_(mode) {
  mode = now;
}

MathModeScope::~MathModeScope() {
  mode = previous_;
}

}  // namespace lathe
