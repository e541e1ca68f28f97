#include "core/error.h"

#include <cstdio>

namespace lathe {
namespace {

// The innermost ErrorScope of this thread; a list threaded through the scopes themselves.
thread_local const ErrorContext* innermost = nullptr;

bool speaks_to_programmers(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Shape:
    case ErrorKind::DType:
    case ErrorKind::Device:
    case ErrorKind::StaleTensor:
    case ErrorKind::NotImplemented:
    case ErrorKind::Internal:
      return true;
    default:
      return false;
  }
}

std::string in_context(const std::string& message) {
  return innermost == nullptr ? message : concat(message, " in ", innermost->describe());
}

std::string position(ErrorKind kind, const char* file, int line) {
  return file != nullptr && speaks_to_programmers(kind) ? concat(" at ", file, ":", line) : std::string();
}

}  // namespace

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Shape:
      return "shape";
    case ErrorKind::DType:
      return "dtype";
    case ErrorKind::Device:
      return "device";
    case ErrorKind::Config:
      return "config";
    case ErrorKind::Data:
      return "data";
    case ErrorKind::Io:
      return "io";
    case ErrorKind::Format:
      return "format";
    case ErrorKind::Cuda:
      return "cuda";
    case ErrorKind::StaleTensor:
      return "stale tensor";
    case ErrorKind::NotImplemented:
      return "not implemented";
    case ErrorKind::Diverged:
      return "diverged";
    case ErrorKind::Mismatch:
      return "mismatch";
    case ErrorKind::OutOfMemory:
      return "out of memory";
    case ErrorKind::Interrupted:
      return "interrupted";
    case ErrorKind::Internal:
      return "internal";
  }
  return "unknown";
}

Error::Error(ErrorKind kind, const std::string& message, const char* file, int line)
    : std::runtime_error(in_context(message) + position(kind, file, line)),
      kind_(kind),
      brief_size_(in_context(message).size()) {}

std::string Error::brief() const {
  return std::string(what(), brief_size_);
}

void Error::prepend(const std::string& prefix) {
  std::runtime_error::operator=(std::runtime_error(prefix + what()));
  brief_size_ += prefix.size();
}

ErrorScope::ErrorScope(const ErrorContext& context) : previous_(innermost) {
  innermost = &context;
}
ErrorScope::~ErrorScope() {
  innermost = previous_;
}

std::string error_context() {
  return innermost == nullptr ? std::string() : innermost->describe();
}

namespace detail {

void append(std::string& out, std::string_view part) {
  out.append(part);
}

void append(std::string& out, double part) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", part);
  out += text;
}

void append(std::string& out, int64_t part) {
  out += std::to_string(part);
}
void append(std::string& out, uint64_t part) {
  out += std::to_string(part);
}

}  // namespace detail
}  // namespace lathe
