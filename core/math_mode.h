#pragma once
// How products may round: which algorithms kernels may choose from.

namespace lathe {

struct MathMode {
  bool tf32 = false;          ///< f32 products with operands rounded to 10 bits, sums in f32 (CUDA)
  bool deterministic = true;  ///< false: algorithms whose sums depend on timing are allowed (CUDA)
  bool winograd = true;       ///< 3x3 convolutions by F(4x4, 3x3), whose error is some 10 times larger (host)
  bool operator==(const MathMode&) const = default;
};

/// Of this thread; deterministic f32, with Winograd on the host, unless a scope says otherwise. It picks
/// algorithms: a library's on CUDA, our 3x3 convolution's on the host.
const MathMode& math_mode();

/// While alive, this thread's mode.
class MathModeScope {
 public:
  explicit MathModeScope(const MathMode& mode);
  MathModeScope(const MathModeScope&) = delete;
  MathModeScope& operator=(const MathModeScope&) = delete;
  ~MathModeScope();

 private:
  MathMode previous_;
};

}  // namespace lathe
