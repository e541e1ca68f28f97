#pragma once
// Run-time choice of instruction set. The files in core/cpu/isa/ and quant/cpu/isa/ are compiled once per
// instruction set, each time into a namespace of its own (LATHE_ISA_NAMESPACE), and include nothing that
// makes weak symbols, so that the linker can never keep the wrong copy.

#include <string_view>

namespace lathe::cpu {

enum class Isa : unsigned char {
  Portable,  ///< what the compiler targets by default
  V3,        ///< x86-64-v3: AVX2 and FMA
  V4,        ///< x86-64-v4: AVX-512
};

std::string_view to_string(Isa isa);  // "portable", "v3", "v4"

/// The widest set this machine has, or the one that the environment variable LATHE_ISA names (ConfigError if
/// it is unknown or not supported here). Chosen once.
Isa active_isa();

/// The widest set this machine supports.
Isa widest_isa();

/// For tests: forces a set that the machine supports until destroyed. Not while kernels run.
class ForceIsa {
 public:
  explicit ForceIsa(Isa isa);
  ForceIsa(const ForceIsa&) = delete;
  ForceIsa& operator=(const ForceIsa&) = delete;
  ~ForceIsa();

 private:
  Isa previous_;
};

/// A function compiled per instruction set.
template <class Signature>
class IsaFunction;

template <class R, class... Args>
class IsaFunction<R(Args...)> {
 public:
  using Pointer = R (*)(Args...);
  constexpr IsaFunction(Pointer portable, Pointer v3, Pointer v4) : pointers_{portable, v3, v4} {}
  R operator()(Args... args) const { return pointers_[static_cast<int>(active_isa())](args...); }
  Pointer get() const { return pointers_[static_cast<int>(active_isa())]; }

 private:
  Pointer pointers_[3];
};

}  // namespace lathe::cpu

/// Inside namespace lathe::cpu: LATHE_ISA_FUNCTION(void, name, float* y, const float* x, int64_t n);
/// declares isa_portable::name, isa_v3::name, isa_v4::name (defined in an isa folder) and the
/// IsaFunction `name`.
#if LATHE_X86_ISAS
#define LATHE_ISA_FUNCTION(Result, name, ...)              \
  namespace isa_portable {                                 \
  Result name(__VA_ARGS__);                                \
  }                                                        \
  namespace isa_v3 {                                       \
  Result name(__VA_ARGS__);                                \
  }                                                        \
  namespace isa_v4 {                                       \
  Result name(__VA_ARGS__);                                \
  }                                                        \
  inline constexpr IsaFunction<Result(__VA_ARGS__)> name { \
    &isa_portable::name, &isa_v3::name, &isa_v4::name      \
  }
#else
#define LATHE_ISA_FUNCTION(Result, name, ...)                     \
  namespace isa_portable {                                        \
  Result name(__VA_ARGS__);                                       \
  }                                                               \
  inline constexpr IsaFunction<Result(__VA_ARGS__)> name {        \
    &isa_portable::name, &isa_portable::name, &isa_portable::name \
  }
#endif
