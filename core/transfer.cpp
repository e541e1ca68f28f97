#include "core/transfer.h"

#include "core/device_memory.h"

namespace lathe {

Upload::Upload(Device device) {
#if LATHE_HAS_CUDA
  if (device.type == DeviceType::Cuda) backend_ = device_memory::make_upload(device);
#endif
  LATHE_CHECK(DeviceError, backend_ != nullptr || device.type == DeviceType::Cpu, "upload: to ", device);
}
Upload::Upload(Upload&&) noexcept = default;
Upload::~Upload() = default;

void Upload::operator()(Tensor& to, const Tensor& from) {
  if (backend_) return backend_->copy(to, from);
  to.copy_from(from);
}

Download::Download(Device device) {
#if LATHE_HAS_CUDA
  if (device.type == DeviceType::Cuda) backend_ = device_memory::make_download(device);
#endif
  LATHE_CHECK(DeviceError, backend_ != nullptr || device.type == DeviceType::Cpu, "download: from ", device);
}
Download::Download(Download&&) noexcept = default;
Download::~Download() = default;

void Download::start(const Tensor& from) {
  if (backend_) return backend_->start(from);
  value_ = from.item();
}
bool Download::ready() const {
  return backend_ == nullptr || backend_->ready();
}
double Download::value() const {
  return backend_ ? backend_->value() : value_;
}

}  // namespace lathe
