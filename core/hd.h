#pragma once
// LATHE_HD marks scalar functions that both the host compiler and nvcc compile. LATHE_HD_INLINE also inlines
// them everywhere, so that a per-ISA file (core/cpu/isa.h) that calls them makes no weak symbol.
#if defined(__CUDACC__)
#define LATHE_HD __host__ __device__
#define LATHE_HD_INLINE __host__ __device__ __forceinline__
#else
#define LATHE_HD
#define LATHE_HD_INLINE [[gnu::always_inline]] inline
#endif
