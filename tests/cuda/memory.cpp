// Tensors on a CUDA device, and their way there and back.

#include <doctest/doctest.h>

#include "core/transfer.h"
#include "tests/cuda/device.h"

namespace lathe {
namespace {

using tests::cuda_device;
using tests::cuda_ready;

Tensor counting(int64_t n) {
  Tensor tensor = Tensor::empty({n});
  for (int64_t i = 0; i < n; ++i) tensor.mut<float>()[i] = static_cast<float>(i);
  return tensor;
}

}  // namespace

TEST_SUITE_BEGIN("gpu memory");

TEST_CASE("a device that is not there is refused by name") {
  CHECK_THROWS_AS(Tensor::zeros({1}, DType::F32, Device::cuda(1000)), DeviceError);
  CHECK_THROWS_AS(available_device("cuda:1000"), DeviceError);
  CHECK_THROWS_AS(available_device("gpu"), ConfigError);
}

TEST_CASE("tensors move, copy and fill") {
  if (!cuda_ready()) return;
  const Tensor host = counting(1000);
  const Tensor there = host.to(cuda_device());
  CHECK(there.device() == cuda_device());
  CHECK(same_bits(there.to(Device::cpu()), host));
  CHECK(same_bits(there.clone(), host));
  CHECK(same_bits(there.rows(10, 20), host.rows(10, 20)));
  CHECK(there.rows(7, 8).item() == 7);
  CHECK(same_bits(Tensor::full({5}, 2.5, DType::F64, cuda_device()), Tensor::full({5}, 2.5, DType::F64)));
  CHECK(same_bits(Tensor::zeros({5}, DType::I64, cuda_device()), Tensor::zeros({5}, DType::I64)));
  for (const DType dtype : {DType::F64, DType::I64, DType::I32, DType::BF16}) {
    CHECK(same_bits(there.to(dtype), host.to(dtype)));
    CHECK(same_bits(there.to(dtype).to(DType::F32), host.to(dtype).to(DType::F32)));
  }
  CHECK(Tensor::empty({0, 3}, DType::F32, cuda_device()).to(Device::cpu()).numel() == 0);
}

TEST_CASE("the host is refused a device tensor's memory") {
  if (!cuda_ready()) return;
  Tensor there = Tensor::zeros({4}, DType::F32, cuda_device());
  CHECK_THROWS_AS(there.ptr<float>(), DeviceError);
  CHECK_THROWS_AS(there.mut<float>(), DeviceError);
  CHECK_THROWS_AS(there.raw(), DeviceError);
}

TEST_CASE("blocks come back to the cache, and guards see a write beside one") {
  if (!cuda_ready()) return;
  Tensor::empty({12345}, DType::F32, cuda_device());
  const AllocatorStats before = tests::device_stats();
  for (int i = 0; i < 10; ++i) Tensor::empty({12345}, DType::F32, cuda_device());
  const AllocatorStats after = tests::device_stats();
  CHECK(after.system_allocations == before.system_allocations);
  CHECK(after.requests == before.requests + 10);
  CHECK(after.live_bytes == before.live_bytes);

  const tests::GuardedDevice guards;
  {
    Tensor all = Tensor::empty({8}, DType::F32, cuda_device());
    all.copy_from(Tensor::zeros({8}));
    CHECK(guards.violations() == 0);
    tests::write_beside(all);
    CHECK(guards.violations() == 1);
  }
  CHECK(guards.violations() == 1);
}

TEST_CASE("uploads and downloads arrive in the order of the work around them") {
  if (!cuda_ready()) return;
  Upload upload(cuda_device());
  Tensor there = Tensor::empty({1000}, DType::F32, cuda_device());
  std::vector<Tensor> seen;
  Tensor host = counting(1000);
  for (int round = 0; round < 5; ++round) {
    host.mut<float>()[0] = static_cast<float>(round);
    upload(there, host);
    host.mut<float>()[0] = -1;  // it was read already
    seen.push_back(there.clone());
  }
  for (int round = 0; round < 5; ++round) CHECK(seen[static_cast<size_t>(round)].rows(0, 1).item() == round);

  Download first(cuda_device()), second(cuda_device());
  Tensor value = Tensor::full({1}, 3, DType::F32, cuda_device());
  first.start(value);
  value.copy_from(Tensor::full({1}, 4));
  second.start(value);
  value.copy_from(Tensor::full({1}, 5));
  CHECK(second.value() == 4);
  CHECK(first.value() == 3);
}

TEST_SUITE_END();

}  // namespace lathe
