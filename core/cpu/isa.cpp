#include "core/cpu/isa.h"

#include <atomic>
#include <cstdlib>

#include "core/error.h"

namespace lathe::cpu {
namespace {

Isa from_environment() {
  const char* wanted = std::getenv("LATHE_ISA");
  if (wanted == nullptr || *wanted == '\0') return widest_isa();
  for (const Isa isa : {Isa::Portable, Isa::V3, Isa::V4}) {
    if (to_string(isa) != wanted) continue;
    LATHE_CHECK(ConfigError, isa <= widest_isa(), "LATHE_ISA=", wanted, ": this machine supports up to ",
                widest_isa());
    return isa;
  }
  LATHE_THROW(ConfigError, "LATHE_ISA: expected portable, v3 or v4, found '", wanted, "'");
}

std::atomic<int> chosen{-1};  // -1: not chosen yet

}  // namespace

std::string_view to_string(Isa isa) {
  switch (isa) {
    case Isa::Portable:
      return "portable";
    case Isa::V3:
      return "v3";
    case Isa::V4:
      return "v4";
  }
  return "unknown";
}

Isa widest_isa() {
#if LATHE_X86_ISAS
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) {
    return Isa::V4;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) {
    return Isa::V3;
  }
#endif
  return Isa::Portable;
}

Isa active_isa() {
  int isa = chosen.load(std::memory_order_relaxed);
  if (isa < 0) {
    isa = static_cast<int>(from_environment());
    chosen.store(isa, std::memory_order_relaxed);
  }
  return static_cast<Isa>(isa);
}

ForceIsa::ForceIsa(Isa isa) : previous_(active_isa()) {
  LATHE_CHECK(ConfigError, isa <= widest_isa(), "isa ", isa, ": this machine supports up to ", widest_isa());
  chosen.store(static_cast<int>(isa), std::memory_order_relaxed);
}

ForceIsa::~ForceIsa() {
  chosen.store(static_cast<int>(previous_), std::memory_order_relaxed);
}

}  // namespace lathe::cpu
