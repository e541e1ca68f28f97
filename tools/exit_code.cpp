#include "tools/exit_code.h"

#include <algorithm>
#include <filesystem>
#include <new>

#include "core/error.h"

namespace lathe::cli {
namespace {

int code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Config:
    case ErrorKind::NotImplemented:
      return kUsage;
    case ErrorKind::Data:
      return kData;
    case ErrorKind::Format:
      return kInvalidFile;
    case ErrorKind::Io:
      return kIo;
    case ErrorKind::Diverged:
      return kDiverged;
    case ErrorKind::Mismatch:
      return kMismatch;
    case ErrorKind::OutOfMemory:
      return kOutOfMemory;
    case ErrorKind::Device:
    case ErrorKind::Cuda:
      return kDevice;
    case ErrorKind::Interrupted:
      return kInterrupted;
    case ErrorKind::Shape:
    case ErrorKind::DType:
    case ErrorKind::StaleTensor:
    case ErrorKind::Internal:
      return kBug;
  }
  return kBug;
}

}  // namespace

Failure describe_failure(const std::exception& error) {
  Failure failure{kBug, error.what()};
  if (const auto* known = dynamic_cast<const Error*>(&error)) {
    failure.code = code_of(known->kind());
    if (failure.code != kBug) failure.message = known->brief();
  } else if (const auto* child = dynamic_cast<const ChildError*>(&error)) {
    failure.code = child->code();
  } else if (const auto* file = dynamic_cast<const std::filesystem::filesystem_error*>(&error)) {
    failure = {kIo, concat(file->path1().string(), ": ", file->code().message())};
  } else if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
    failure = {kOutOfMemory, "out of memory"};
  }
  std::replace(failure.message.begin(), failure.message.end(), '\n', ' ');
  return failure;
}

}  // namespace lathe::cli
