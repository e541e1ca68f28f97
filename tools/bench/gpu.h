#pragma once
// Training steps on a CUDA device: models, precisions and quantizers, with the device's measured limits.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tools/bench/training.h"

namespace lathe::bench {

/// One training to time. Its name says all of it: "resnet20 b128 bf16 lsq", with "eager" behind it when steps
/// are not to be recorded.
struct GpuCase {
  std::string name;
  std::string model;  ///< "gpt4x256": with its size
  std::string quant;  ///< none, lsq, diffq, codeq
  TrainingCase training;
  const char* unit = "images";  ///< or tokens
  int64_t units = 0;            ///< of a step
  bool usual = false;           ///< timed when nothing is asked for
};

/// What the device does at best, measured by kernels of the library: a large matrix product in each
/// precision, and a large copy (bytes read and written). 0 where there is no such kernel.
struct GpuLimits {
  double f32_tflops = 0, tf32_tflops = 0, bf16_tflops = 0;
  double copy_gb_per_second = 0;
  double of(const std::string& precision) const;
};

struct GpuRow {
  GpuCase gpu_case;
  bool recorded = false;
  double ms_median = 0, ms_least = 0;  ///< of a step, over rounds of several steps
  double per_second = 0;               ///< units, of the median
  double mib = 0;                      ///< tensors on the device at a step's peak
  double share_of_peak = 0;            ///< 6 x multiply-accumulates of the forward pass, of the median
  double loss = 0;                     ///< of the last step
  std::string error;                   ///< why there is nothing else
};

struct GpuBench {
  Device device;
  std::string filter;                ///< words that a case's name holds, or beginnings of them
  std::optional<std::string> model;  ///< of the registry, with its defaults, instead of the table
  std::optional<int64_t> batch;      ///< instead of the table's
  int64_t steps = 20;                ///< of a round
};

/// Cases of the table: those usually timed, or, with a filter, a model or a batch, all that these leave.
std::vector<GpuCase> gpu_cases(const GpuBench& bench);
GpuLimits gpu_limits(Device device);
/// Never throws for what goes wrong on the device: that is the row's error.
GpuRow time_gpu_case(const GpuBench& bench, const GpuCase& gpu_case, const GpuLimits& limits);

}  // namespace lathe::bench
