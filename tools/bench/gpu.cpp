#include "tools/bench/gpu.h"

#include <algorithm>
#include <chrono>
#include <sstream>

#include "core/device_memory.h"
#include "core/json.h"
#include "core/kernels/matmul.h"
#include "core/kernels/random.h"
#include "core/parallel.h"
#include "models/registry.h"
#include "tools/bench/harness.h"
#include "train/model_info.h"

namespace lathe::bench {
namespace {

constexpr int64_t kLeastRounds = 3, kMostRounds = 7;
constexpr double kRoundsSeconds = 3;  // no further round after so long
constexpr int64_t kWarmUp = 5;        // two steps as they come, one recorded, two launched

struct ModelRow {
  std::string name;     // in cases
  std::string section;  // "model" of an experiment, as JSON
  std::vector<int64_t> batches;
  Shape sample = {};  // rank 0: the model's own
  int64_t classes = 10;
};

// Sizes of published experiments; nothing is dropped out, since the comparison drops nothing either.
std::vector<ModelRow> model_rows() {
  return {
      {"resnet20", R"({"type": "resnet20"})", {128, 512}},
      {"resnet18_cifar", R"({"type": "resnet18_cifar"})", {128, 512}},
      {"mobilenetv1_cifar", R"({"type": "mobilenetv1_cifar"})", {128, 512}},
      {"resnet50", R"({"type": "resnet50"})", {128}, {}, 1000},
      {"vit_tiny_p4",
       R"({"type": "vit_tiny", "image": 32, "patch": 4, "classes": 10})",
       {128, 512},
       {32, 32, 3}},
      {"gpt4x256",
       R"({"type": "gpt", "layers": 4, "heads": 4, "width": 256, "context": 128, "vocab": 256,)"
       R"( "dropout": 0})",
       {128},
       {128},
       256},
      {"gpt12x768",
       R"({"type": "gpt", "layers": 12, "heads": 12, "width": 768, "context": 512, "vocab": 50304,)"
       R"( "dropout": 0})",
       {16},
       {512},
       50304},
  };
}

struct QuantRow {
  const char* name;
  const char* method;  // of methods()
};
constexpr QuantRow kQuants[] = {
    {"none", "float"}, {"lsq", "lsq 4"}, {"diffq", "diffq g8"}, {"codeq", "codeq mixed"}};

const Method& method_named(const std::string& name) {
  return *std::find_if(methods().begin(), methods().end(),
                       [&](const Method& one) { return one.name == name; });
}

/// "f32" is no "tf32": words are compared from their beginning.
bool holds_words(const std::string& name, const std::string& filter) {
  std::istringstream words(filter);
  for (std::string word; words >> word;) {
    if ((" " + name).find(" " + word) == std::string::npos) return false;
  }
  return true;
}

TrainingCase training_of(const ModelRow& row, int64_t batch) {
  TrainingCase training{.batch = batch, .sample = row.sample, .classes = row.classes, .lr = 0.01};
  training.model_options = parse_json(row.section, "bench");
  training.model = training.model_options.find("type")->as_string();
  return training;
}

/// Every precision and quantizer, recorded and eager.
void add_cases(std::vector<GpuCase>& cases, const ModelRow& row, int64_t batch) {
  const TrainingCase plain = training_of(row, batch);
  const Shape sample = plain.sample.rank() > 0 ? plain.sample : model_input_shape(plain.model);
  const bool tokens = sample.rank() == 1;
  for (const char* precision : {"bf16", "tf32", "f32"}) {
    for (const QuantRow& quant : kQuants) {
      for (const bool record : {true, false}) {
        GpuCase one{.name = concat(row.name, " b", batch, " ", precision, " ", quant.name),
                    .model = row.name,
                    .quant = quant.name,
                    .training = quantized(plain, method_named(quant.method)),
                    .unit = tokens ? "tokens" : "images",
                    .units = tokens ? batch * sample[0] : batch};
        if (!record) one.name += " eager";
        one.training.precision = precision;
        one.training.record = record;
        const bool unquantized = one.quant == "none", bf16 = one.training.precision == "bf16";
        one.usual = record ? unquantized || bf16 : unquantized && bf16 && batch == row.batches.front();
        cases.push_back(std::move(one));
      }
    }
  }
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

#if LATHE_HAS_CUDA

void wait_for(Device device) {
  device_memory::synchronize(device);
}
/// A device that is an emulation is never the default one; it gets sizes that it can finish.
bool emulated() {
  return !device_memory::default_device();
}
void reset_peak(Device device) {
  device_memory::trim(device);
  device_memory::reset_peak(device);
}
size_t peak_bytes(Device device) {
  return device_memory::stats(device).peak_live_bytes;
}

#else  // nobody has a device to call these with

void wait_for(Device) {}
bool emulated() {
  return true;
}
void reset_peak(Device) {}
size_t peak_bytes(Device) {
  return 0;
}

#endif

/// Seconds of a call, one for each round, sorted; the device finishes each round.
std::vector<double> time_rounds(Device device, int64_t calls, FunctionRef<void()> fn) {
  std::vector<double> rounds;
  const double begin = now();
  for (int64_t i = 0; i < kMostRounds && (i < kLeastRounds || now() - begin < kRoundsSeconds); ++i) {
    wait_for(device);
    const double start = now();
    for (int64_t call = 0; call < calls; ++call) fn();
    wait_for(device);
    rounds.push_back((now() - start) / static_cast<double>(calls));
  }
  std::sort(rounds.begin(), rounds.end());
  return rounds;
}

/// Numbers as they occur: products of zeros take less power, so they are faster.
Tensor random_matrix(int64_t n, DType dtype, Device device, const char* name) {
  Tensor values = Tensor::empty({n, n});
  kernels::fill_normal(values, 1.0, {.seed = 1, .stream = stream_id(name)});
  return values.to(dtype).to(device);
}

double matmul_tflops(Device device, DType dtype, bool tf32) {
  const int64_t n = emulated() ? 64 : 8192;
  const int64_t calls = emulated() ? 1 : 10;
  const Tensor a = random_matrix(n, dtype, device, "bench a"), b = random_matrix(n, dtype, device, "bench b");
  Tensor y = a.empty_like();
  const MathModeScope math({.tf32 = tf32});
  const auto product = [&] { kernels::matmul(y, a, b, Tensor(), {}); };
  try {
    product();
    const double seconds = time_rounds(device, calls, product).front();
    return 2 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n) / seconds * 1e-12;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::NotImplemented && error.kind() != ErrorKind::DType) throw;
    return 0;
  }
}

double copy_rate(Device device) {
  const int64_t bytes = emulated() ? 1 << 20 : 1 << 30;
  const Tensor from = Tensor::zeros({bytes}, DType::U8, device);
  Tensor to = from.empty_like();
  to.copy_from(from);
  const double seconds = time_rounds(device, emulated() ? 1 : 10, [&] { to.copy_from(from); }).front();
  return 2 * static_cast<double>(bytes) / seconds * 1e-9;
}

void time_steps(GpuRow& row, const GpuBench& bench, const GpuLimits& limits) {
  const TrainingCase& one = row.gpu_case.training;
  reset_peak(bench.device);
  Training training(one);
  Tensor loss;
  const int64_t warm_up = emulated() ? 3 : kWarmUp;
  for (int64_t i = 0; i < warm_up; ++i) loss = training.advance();
  wait_for(bench.device);
  row.recorded = training.device_step().launches() > 0;
  reset_peak(bench.device);
  const std::vector<double> seconds =
      time_rounds(bench.device, bench.steps, [&] { loss = training.advance(); });
  row.mib =
      static_cast<double>(peak_bytes(bench.device) + training.device_step().recorded_bytes()) / (1 << 20);
  row.loss = loss.item();
  const double step = median(seconds);
  row.ms_median = 1e3 * step;
  row.ms_least = 1e3 * seconds.front();
  row.per_second = static_cast<double>(row.gpu_case.units) / step;
  const Shape sample = one.sample.rank() > 0 ? one.sample : model_input_shape(one.model);
  const auto macs = static_cast<double>(describe_model(model_section(one), FieldPath(), sample).macs);
  const double peak = limits.of(one.precision);
  if (peak > 0) row.share_of_peak = 6 * macs * static_cast<double>(one.batch) / step * 1e-12 / peak;
}

}  // namespace

double GpuLimits::of(const std::string& precision) const {
  if (precision == "bf16") return bf16_tflops;
  return precision == "tf32" ? tf32_tflops : f32_tflops;
}

std::vector<GpuCase> gpu_cases(const GpuBench& bench) {
  std::vector<ModelRow> rows = model_rows();
  if (bench.model) {
    const Value section = Value::object({{"type", Value::string(*bench.model)}});
    rows = {{*bench.model, to_json(section), {128}}};
  }
  std::vector<GpuCase> all;
  for (ModelRow& row : rows) {
    if (bench.batch) row.batches = {*bench.batch};
    for (const int64_t batch : row.batches) add_cases(all, row, batch);
  }
  const bool usual = bench.filter.empty() && !bench.model && !bench.batch;
  std::vector<GpuCase> chosen;
  for (GpuCase& one : all) {
    one.training.device = bench.device;
    if (usual ? one.usual : holds_words(one.name, bench.filter)) chosen.push_back(std::move(one));
  }
  return chosen;
}

GpuLimits gpu_limits(Device device) {
  return {.f32_tflops = matmul_tflops(device, DType::F32, false),
          .tf32_tflops = matmul_tflops(device, DType::F32, true),
          .bf16_tflops = matmul_tflops(device, DType::BF16, false),
          .copy_gb_per_second = copy_rate(device)};
}

GpuRow time_gpu_case(const GpuBench& bench, const GpuCase& gpu_case, const GpuLimits& limits) {
  GpuRow row;
  row.gpu_case = gpu_case;
  try {
    time_steps(row, bench, limits);
  } catch (const std::exception& error) {
    row.error = error.what();
  }
  return row;
}

}  // namespace lathe::bench
