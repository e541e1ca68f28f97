#pragma once
// Copies between the host and a device that nobody waits for.

#include <memory>

#include "core/tensor.h"

namespace lathe {

/// Brings host tensors to a tensor of a device: on a CUDA device through page-locked memory and the copy
/// stream, so that the copy runs beside the compute stream's work. Work given to the device afterwards sees
/// the new values. A transfer waits for the one before of the same Upload, so two of them keep one in flight.
class Upload {
 public:
  explicit Upload(Device device);
  Upload(Upload&&) noexcept;
  ~Upload();
  /// `from` has been read when this returns.
  void operator()(Tensor& to, const Tensor& from);

  struct Backend {
    virtual ~Backend() = default;
    virtual void copy(Tensor& to, const Tensor& from) = 0;
  };

 private:
  std::unique_ptr<Backend> backend_;  // null on the host
};

/// Brings one number of a device to the host.
class Download {
 public:
  explicit Download(Device device);
  Download(Download&&) noexcept;
  ~Download();
  /// Begins to copy `from`, one element; its value is the one that work given so far leaves in it.
  void start(const Tensor& from);
  /// True when value() would not wait.
  bool ready() const;
  double value() const;

  struct Backend {
    virtual ~Backend() = default;
    virtual void start(const Tensor& from) = 0;
    virtual bool ready() const = 0;
    virtual double value() const = 0;
  };

 private:
  std::unique_ptr<Backend> backend_;  // null on the host
  double value_ = 0;
};

}  // namespace lathe
