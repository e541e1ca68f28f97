// Which kernel exists for which element type: what the CPU has, CUDA has too or refuses by name.

#include <map>
#include <set>
#include <string_view>

#include <doctest/doctest.h>

#include "core/dispatch.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/embedding.h"
#include "core/kernels/images.h"
#include "core/kernels/optim.h"
#include "core/kernels/random.h"
#include "quant/cases.h"
#include "quant/kernels.h"
#include "tests/cuda/device.h"
#include "tests/laws/evaluate.h"
#include "tests/meta/source_tree.h"

namespace lathe {
namespace {

using Table = std::map<std::string, std::set<DType>>;

Table* seen = nullptr;
DeviceType seen_on = DeviceType::Cpu;

/// Writes down the kernels that are called on one kind of device while it lives.
class Watch {
 public:
  Watch(Table& table, DeviceType device) {
    seen = &table;
    seen_on = device;
    detail::kernel_observer = [](const char* name, Device at, DType dtype) {
      if (at.type == seen_on) (*seen)[name].insert(dtype);
    };
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() { detail::kernel_observer = nullptr; }
};

/// Every kernel that a header declares.
std::set<std::string> declared() {
  constexpr std::string_view kDeclaration = "LATHE_KERNEL(";
  std::set<std::string> names;
  for (const meta::SourceFile& file : meta::source_tree()) {
    if (!file.path.ends_with(".h") || file.path.starts_with("tests/")) continue;
    for (const std::string& line : file.lines) {
      if (!line.starts_with(kDeclaration)) continue;
      const std::string rest = line.substr(kDeclaration.size());
      names.insert(rest.substr(0, rest.find(',')));
    }
  }
  return names;
}

/// Calls of kernels that no op case makes.
void call_the_others(Device device, DType dtype) {
  const auto numbers = [&](const Shape& shape) { return laws::output_gradient(shape, dtype).to(device); };
  std::vector<Tensor> p{numbers({7, 3})}, m{numbers({7, 3}).zeros_like()}, v{m[0].clone()};
  const std::vector<Tensor> g{numbers({7, 3})};
  kernels::sgd_update(p, g, m, {.lr = 0.1, .momentum = 0.9});
  kernels::adam_update(p, g, m, v, std::vector<int64_t>{1}, {.lr = 0.1});
  kernels::rmsprop_update(p, g, v, m, {.lr = 0.1, .momentum = 0.9});
  kernels::ema_update(m, p, 0.5);
  kernels::scale_in_place(p, 0.5);
  Tensor sum = Tensor::zeros({}, DType::F64, device);
  kernels::sum_of_squares(sum, g);
  Tensor y = numbers({64});
  kernels::fill(y, 2);
  kernels::fill_uniform(y, -1, 1, {1, 2, 3});
  kernels::fill_normal(y, 1, {1, 2, 3});
  Tensor rows = Tensor::empty({3, 4}, dtype, device);
  kernels::one_hot(rows, Tensor::from(std::vector<int64_t>{0, 3, 1}, {3}).to(device));
}

/// From bytes to f32, the only types there are of it.
void call_images(Device device) {
  Tensor y = Tensor::empty({1, 4, 4, 3}, DType::F32, device), target = Tensor::empty({1}, DType::I64, device);
  const Tensor zero = Tensor::zeros({1}, DType::I64, device);
  kernels::image_batch(y, target, Tensor::zeros({1, 4, 4, 3}, DType::U8, device), zero,
                       Tensor::zeros({3, 256}, DType::F32, device), zero, {});
}

/// Kernels behind encoders and buffers of quantizers.
void call_the_quantizers(Device device, DType dtype) {
  const Tensor w = laws::output_gradient({16}, dtype).to(device);
  const auto one = [&](double value) { return Tensor::full({1}, value, dtype, device); };
  Tensor q = w.empty_like(), lo = one(-1), hi = one(1), step = one(0.25), zero = one(1), codes = w.clone();
  const Tensor bits = Tensor::full({1}, 4, DType::U8, device);
  kernels::group_mean_magnitude(step, w, 0);
  kernels::minmax_codes(q, w, lo, hi, bits, 0);
  kernels::absmax_codes(q, w, step, 7, 0);
  kernels::lsq_codes(q, w, step, {.lo = -8, .hi = 7});
  const Tensor grid = Tensor::from(std::vector<double>{1, 0.1, 7, 0.1, 0, 4}, {6}).to(dtype).to(device);
  kernels::codeq_codes(q, w, grid);
  kernels::dq_codes(q, w, step, hi, {});
  Tensor history = Tensor::zeros({16, 6}, dtype, device);
  kernels::oscillation_step(codes, history, 0.1, 0);
  kernels::follow_range(lo, hi, one(-2), one(2), 0.9);
  kernels::range_levels(step, zero, lo, hi, 15, 1e-8);
  kernels::zero_point_grids(step, zero, lo, hi, 15);
  kernels::dq_bound(step, hi, {}, 1, 8);
  kernels::clip_to_step(q, w, step);
  kernels::drop_if_unused(q, w);
}

void call_all(Device device, DType dtype) {
  std::vector<OpCase> cases = op_cases();
  for (const QuantCase& one : quant_cases()) cases.push_back(one.op);
  for (const OpCase& one : cases) {
    std::vector<Var> inputs;
    for (const Var& input : make_inputs(one, dtype))
      inputs.emplace_back(input.data().to(device), input.requires_grad());
    laws::evaluate(one, inputs);
  }
  call_the_others(device, dtype);
  call_the_quantizers(device, dtype);
  call_images(device);
}

}  // namespace

TEST_SUITE_BEGIN("gpu kernels");

TEST_CASE("every kernel that the CPU has for a type CUDA has too") {
  if (!tests::cuda_ready()) return;
  Table host, device;
  for (const DType dtype : {DType::F32, DType::F64}) {
    {
      const Watch watch(host, DeviceType::Cpu);
      call_all(Device::cpu(), dtype);
    }
    const Watch watch(device, DeviceType::Cuda);
    call_all(tests::cuda_device(), dtype);
  }
  for (const auto& [name, types] : host) {
    for (const DType dtype : types)
      CHECK_MESSAGE(device[name].contains(dtype), name, " in ", to_string(dtype));
  }
  for (const std::string& name : declared()) CHECK_MESSAGE(host.contains(name), name, " is called by no row");
}

TEST_CASE("bf16 is computed, or refused by name") {
  if (!tests::cuda_ready()) return;
  int computed = 0, refused = 0;
  for (const OpCase& one : op_cases()) {
    std::vector<Var> inputs;
    for (const Var& input : make_inputs(one, DType::F32))
      inputs.emplace_back(input.data().to(DType::BF16).to(tests::cuda_device()), input.requires_grad());
    try {
      const laws::Evaluation result = laws::evaluate(one, inputs);
      CHECK_MESSAGE(result.y.dtype() == DType::BF16, one.name);
      ++computed;
    } catch (const DTypeError& error) {  // "cross_entropy_forward: needs f32 or f64, got bf16"
      const std::string message = error.what();
      CHECK_MESSAGE(message.find("bf16") != std::string::npos, one.name, ": ", message);
      CHECK_MESSAGE(message.find(": ") != std::string::npos, one.name, ": ", message);
      ++refused;
    }
  }
  CHECK(computed > 3 * refused);  // most ops act on activations
}

TEST_SUITE_END();

}  // namespace lathe
