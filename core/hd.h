#pragma once
// LATHE_HD marks scalar functions that both the host compiler and nvcc compile.
#if defined(__CUDACC__)
#define LATHE_HD __host__ __device__
#else
#define LATHE_HD
#endif
