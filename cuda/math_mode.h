#pragma once
// How products of f32 operands are computed by the code that runs on this thread.

namespace lathe::cuda {

struct MathMode {
  bool tf32 = false;  ///< operands may be rounded to 10 bits of mantissa on their way into tensor cores

  bool operator==(const MathMode&) const = default;
};

inline MathMode& mutable_math_mode() {
  static thread_local MathMode mode;
  return mode;
}
inline MathMode math_mode() {
  return mutable_math_mode();
}

/// This thread's mode is `mode` while it lives.
class MathModeScope {
 public:
  explicit MathModeScope(MathMode mode) : previous_(math_mode()) { mutable_math_mode() = mode; }
  MathModeScope(const MathModeScope&) = delete;
  MathModeScope& operator=(const MathModeScope&) = delete;
  ~MathModeScope() { mutable_math_mode() = previous_; }

 private:
  MathMode previous_;
};

}  // namespace lathe::cuda
