// Updates over lists of tensors: the device's equal the host's.

#include "core/kernels/optim.h"

#include <cmath>

#include <doctest/doctest.h>

#include "tests/cuda/device.h"
#include "tests/laws/evaluate.h"
#include "train/optim/optimizer.h"

namespace lathe {
namespace {

using List = std::vector<Tensor>;

/// More tensors than one launch takes, of sizes about a chunk's, some empty, some not aligned to 16 bytes.
List tensors(DType dtype, double phase) {
  List list;
  for (int64_t i = 0; i < 230; ++i) {
    const int64_t n = i == 17 ? 0 : i % 40 == 3 ? 4090 + 3 * i : 1 + i * 7 % 31;
    std::vector<double> values;
    for (int64_t j = 0; j <= n; ++j) {
      values.push_back(std::sin(phase + static_cast<double>(i + 3 * j)) + (phase > 2 ? 1.5 : 0));
    }
    list.push_back(Tensor::from(values, {n + 1}).to(dtype).rows(1, n + 1));
  }
  return list;
}

List on(Device device, const List& list) {
  List result;
  for (const Tensor& tensor : list) {
    // The device's copy of a view keeps an odd address.
    Tensor whole = Tensor::zeros({tensor.numel() + 1}, tensor.dtype(), device);
    Tensor view = whole.rows(1, tensor.numel() + 1);
    view.copy_from(tensor);
    result.push_back(view);
  }
  for (size_t i = 0; i < result.size(); i += 2) result[i] = result[i].clone();
  return result;
}

void check_close(const List& found, const List& expected, double bound) {
  for (size_t i = 0; i < expected.size(); ++i) {
    const double error = laws::nmse(found[i].to(Device::cpu()), expected[i]);
    CHECK_MESSAGE(error <= bound, i, ": ", error);
  }
}

/// Runs update(p, g, m, v) on both devices.
template <class Update>
void check_update(const Update& update) {
  if (!tests::cuda_ready()) return;
  for (const DType dtype : {DType::F32, DType::F64}) {
    const tests::GuardedDevice guards;
    List lists[2][4];
    for (int k = 0; k < 4; ++k) {
      lists[0][k] = on(Device::cpu(), tensors(dtype, k));
      lists[1][k] = on(tests::cuda_device(), tensors(dtype, k));
    }
    for (auto& [p, g, m, v] : lists) update(p, g, m, v);
    for (int k = 0; k < 4; ++k) check_close(lists[1][k], lists[0][k], dtype == DType::F32 ? 1e-9 : 1e-26);
    CHECK(guards.violations() == 0);
  }
}

}  // namespace

TEST_SUITE_BEGIN("gpu ops");

TEST_CASE("sgd on the device equals the host's") {
  for (const bool nesterov : {false, true}) {
    for (const bool decoupled : {false, true}) {
      check_update([&](List& p, List& g, List& m, List&) {
        kernels::sgd_update(p, g, m,
                            {.lr = 0.1,
                             .momentum = 0.9,
                             .weight_decay = 0.01,
                             .grad_scale = 0.5,
                             .nesterov = nesterov,
                             .decoupled = decoupled});
      });
    }
  }
  check_update([](List& p, List& g, List&, List&) {
    kernels::sgd_update(p, g, {}, {.lr = 0.1, .weight_decay = 0.01});
  });
}

TEST_CASE("adam on the device equals the host's") {
  for (const bool decoupled : {false, true}) {
    check_update([&](List& p, List& g, List& m, List& v) {
      std::vector<int64_t> steps(p.size(), 3);
      steps[5] = 1;
      steps[100] = 7;
      kernels::adam_update(p, g, m, v, steps,
                           {.lr = 0.1, .weight_decay = 0.01, .grad_scale = 0.5, .decoupled = decoupled});
    });
  }
}

TEST_CASE("rmsprop on the device equals the host's") {
  for (const bool tf : {false, true}) {
    check_update([&](List& p, List& g, List& m, List& v) {
      const kernels::RmspropUpdate update{
          .lr = 0.1, .eps = 1e-3, .momentum = 0.9, .weight_decay = 0.01, .grad_scale = 0.5, .tf = tf};
      kernels::rmsprop_update(p, g, v, m, update);
    });
    check_update([&](List& p, List& g, List&, List& v) {
      kernels::rmsprop_update(p, g, v, {}, {.lr = 0.1, .eps = 1e-3, .tf = tf});
    });
  }
}

TEST_CASE("averages, sums of squares and clipping on the device equal the host's") {
  check_update([](List& average, List& x, List&, List&) {
    const Device device = x[0].device();
    average.push_back(Tensor::zeros({3}, DType::I64, device));
    x.push_back(Tensor::full({3}, 41, DType::I64, device));
    kernels::ema_update(average, x, 0.9);
    CHECK(average.back().to(Device::cpu()).ptr<int64_t>()[2] == 41);
    average.pop_back();
    x.pop_back();
  });
  check_update([](List& x, List& gradients, List& sums, List&) {
    Tensor sum = Tensor::zeros({}, DType::F64, x[0].device());
    kernels::sum_of_squares(sum, x);
    sums.push_back(sum);
    kernels::sum_of_squares(sum, {});
    CHECK(sum.item() == 0);
    sums.push_back(Tensor::full({}, clip_grad_norm(gradients, 1.0), DType::F64, x[0].device()));
    kernels::scale_in_place(x, -0.75);
  });
}

TEST_SUITE_END();

}  // namespace lathe
