#pragma once
// Errors with context. LATHE_CHECK is for the caller's mistakes, LATHE_ASSERT for ours.
// Every exception of the library derives from Error; the library never prints, exits or aborts.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace lathe {

/// What went wrong. The `lathe` executable maps each kind to an exit code (tools/exit_code.h).
enum class ErrorKind : uint8_t {
  Shape,           ///< shapes or ranks do not fit
  DType,           ///< element types do not fit
  Device,          ///< tensors on different devices, or a device that is not there
  Config,          ///< an experiment file, an option or a registry name
  Data,            ///< a data set on disk
  Io,              ///< disk full, permission, missing file
  Format,          ///< an invalid model or checkpoint file
  Cuda,            ///< the CUDA run time reported an error
  StaleTensor,     ///< a tensor saved for backward was modified in place
  NotImplemented,  ///< asked for something that does not exist
  Diverged,        ///< the loss is not finite
  Mismatch,        ///< a verification found a difference
  OutOfMemory,     ///< an allocation failed
  Interrupted,     ///< stopped on request; the state was saved
  Internal,        ///< an invariant of ours does not hold: a bug
};

std::string_view to_string(ErrorKind kind);

/// Base of all exceptions. what() reads
/// `message[ in PATH (Type)][ at FILE:LINE]`; the source position is added only where the reader is a
/// programmer (Shape, DType, Device, StaleTensor, NotImplemented, Internal).
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message, const char* file, int line);
  ErrorKind kind() const { return kind_; }
  /// what() without the source position, for the reader who is no programmer.
  std::string brief() const;
  /// Puts `prefix` before the message: catch (Error& error) { error.prepend("point a: "); throw; }
  void prepend(const std::string& prefix);

 private:
  ErrorKind kind_;
  size_t brief_size_;
};

template <ErrorKind K>
class TypedError : public Error {
 public:
  explicit TypedError(const std::string& message, const char* file = nullptr, int line = 0)
      : Error(K, message, file, line) {}
};

using ShapeError = TypedError<ErrorKind::Shape>;
using DTypeError = TypedError<ErrorKind::DType>;
using DeviceError = TypedError<ErrorKind::Device>;
using ConfigError = TypedError<ErrorKind::Config>;
using DataError = TypedError<ErrorKind::Data>;
using IoError = TypedError<ErrorKind::Io>;
using FormatError = TypedError<ErrorKind::Format>;
using CudaError = TypedError<ErrorKind::Cuda>;
using StaleTensorError = TypedError<ErrorKind::StaleTensor>;
using NotImplementedError = TypedError<ErrorKind::NotImplemented>;
using DivergedError = TypedError<ErrorKind::Diverged>;
using MismatchError = TypedError<ErrorKind::Mismatch>;
using OutOfMemoryError = TypedError<ErrorKind::OutOfMemory>;
using InterruptedError = TypedError<ErrorKind::Interrupted>;
using InternalError = TypedError<ErrorKind::Internal>;

/// Something that can say where in the model execution is, for error messages ("layer2.0.conv1 (Conv2d)").
class ErrorContext {
 public:
  virtual std::string describe() const = 0;

 protected:
  ~ErrorContext() = default;
};

/// While alive, errors raised on this thread name `context`. Scopes nest; the innermost speaks.
class ErrorScope {
 public:
  explicit ErrorScope(const ErrorContext& context);
  ErrorScope(const ErrorScope&) = delete;
  ErrorScope& operator=(const ErrorScope&) = delete;
  ~ErrorScope();

 private:
  const ErrorContext* previous_;
};

/// Description of the innermost ErrorScope of this thread; empty outside any.
std::string error_context();

namespace detail {
void append(std::string& out, std::string_view part);
void append(std::string& out, double part);
void append(std::string& out, int64_t part);
void append(std::string& out, uint64_t part);

template <class T>
void append_part(std::string& out, const T& part) {
  if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    append(out, std::string_view(part));
  } else if constexpr (std::is_same_v<T, bool>) {
    append(out, std::string_view(part ? "true" : "false"));
  } else if constexpr (std::is_same_v<T, char>) {
    out.push_back(part);
  } else if constexpr (std::is_floating_point_v<T>) {
    append(out, static_cast<double>(part));
  } else if constexpr (std::is_unsigned_v<T>) {
    append(out, static_cast<uint64_t>(part));
  } else if constexpr (std::is_integral_v<T>) {
    append(out, static_cast<int64_t>(part));
  } else {
    append(out, std::string_view(to_string(part)));
  }
}
}  // namespace detail

/// Text of the parts one after another: strings, numbers, and anything with a to_string.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string out;
  (detail::append_part(out, parts), ...);
  return out;
}

#define LATHE_THROW(Type, ...) throw Type(::lathe::concat(__VA_ARGS__), __FILE__, __LINE__)

/// LATHE_CHECK(ShapeError, cond, "conv2d: input has ", c, " channels, weight expects ", k)
#define LATHE_CHECK(Type, cond, ...)  \
  do {                                \
    if (!(cond)) [[unlikely]]         \
      LATHE_THROW(Type, __VA_ARGS__); \
  } while (false)

/// An invariant of ours; compiled in unless LATHE_ASSERTS is 0.
#if LATHE_ASSERTS
#define LATHE_ASSERT(cond, ...)                                                                \
  do {                                                                                         \
    if (!(cond)) [[unlikely]]                                                                  \
      LATHE_THROW(::lathe::InternalError,                                                      \
                  "internal error (a bug in Lathe): " #cond __VA_OPT__(, ": ", ) __VA_ARGS__); \
  } while (false)
#else
#define LATHE_ASSERT(cond, ...) static_cast<void>(0)
#endif

}  // namespace lathe
