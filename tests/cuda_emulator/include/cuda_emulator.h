#pragma once
// Runs device code on the host, one block after another, each thread of a block as a fiber that waits at
// barriers. Streams are queues that nobody works on until someone waits for them, so that memory which is
// reused or read too early shows.

#include <cstddef>
#include <functional>

#include <cuda_runtime.h>

namespace emulator {

/// Queues a kernel on the stream, or records it while the stream is being captured.
void launch(cudaStream_t stream, dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> body);

/// Queues host code that stands in for a library's kernel.
void enqueue(cudaStream_t stream, std::function<void()> work);

void* dynamic_shared_memory();

/// Kernels executed so far; for tests.
long long kernels_run();

}  // namespace emulator
