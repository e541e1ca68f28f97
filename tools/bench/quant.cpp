#include "tools/bench/quant.h"

#include <algorithm>
#include <memory>

#include "core/allocator.h"
#include "tools/bench/harness.h"
#include "tools/bench/training.h"

namespace lathe::bench {
namespace {

struct Subject {
  std::string name;
  std::unique_ptr<Training> training;
  size_t peak_bytes = 0;  // of tensors, in a step of a process that holds nothing else
  std::vector<double> steps = {}, alone = {};
};

Subject prepare(const TrainingCase& one, const char* name) {
  host_allocator::trim();  // blocks that fit others badly would count in full
  const size_t before = host_allocator::stats().live_bytes;
  Subject subject{.name = name, .training = std::make_unique<Training>(one)};
  subject.training->step();
  subject.training->step();
  host_allocator::reset_peak();
  subject.training->step();
  subject.peak_bytes = host_allocator::stats().peak_live_bytes - before;
  return subject;
}

QuantCost cost_of(const Subject& subject, const Subject& plain, int64_t batch) {
  QuantCost cost{.name = subject.name, .batch = batch, .ms_median = 1e3 * median(subject.steps)};
  std::vector<double> ratios;
  for (size_t i = 0; i < subject.steps.size(); ++i) ratios.push_back(subject.steps[i] / plain.steps[i]);
  cost.overhead = median(ratios) - 1;
  const int64_t weights = subject.training->quantized_weights();
  if (weights == 0) return cost;
  const double alone = median(subject.alone);
  cost.alone_share = alone / median(plain.steps);
  cost.alone_ns_per_weight = 1e9 * alone / static_cast<double>(weights);
  cost.extra_copies = (static_cast<double>(subject.peak_bytes) - static_cast<double>(plain.peak_bytes)) /
                      static_cast<double>(sizeof(float)) / static_cast<double>(subject.training->weights());
  return cost;
}

}  // namespace

std::vector<QuantCost> bench_quant(const std::string& model, int64_t batch, int64_t rounds,
                                   const std::string& filter) {
  Training({.model = model, .batch = batch}).step();  // what kernels keep for good
  std::vector<Subject> subjects;
  for (const Method& method : methods()) {
    if (method.rule != nullptr && std::string(method.name).find(filter) == std::string::npos) continue;
    subjects.push_back(prepare(quantized({.model = model, .batch = batch}, method), method.name));
  }
  for (int64_t round = 0; round < rounds; ++round) {
    for (Subject& one : subjects) one.steps.push_back(time_once([&] { one.training->step(); }));
    for (Subject& one : subjects) {
      if (one.training->quantized_weights() == 0) continue;
      one.training->quantize_only();
      one.alone.push_back(time_once([&] { one.training->quantize_only(); }));
    }
  }
  std::vector<QuantCost> costs;
  for (const Subject& one : subjects) costs.push_back(cost_of(one, subjects.front(), batch));
  return costs;
}

}  // namespace lathe::bench
