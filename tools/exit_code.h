#pragma once
// The executable's exit codes; scripts rely on them.

#include <exception>
#include <stdexcept>
#include <string>

namespace lathe::cli {

enum ExitCode : int {
  kOk = 0,
  kBug = 1,
  kUsage = 2,  ///< command line or experiment file
  kData = 3,
  kInvalidFile = 4,  ///< model or checkpoint
  kIo = 5,
  kDiverged = 6,
  kMismatch = 7,
  kOutOfMemory = 8,
  kDevice = 9,
  kInterrupted = 75,  ///< a checkpoint was saved: resume with --resume
  kKilled = 130,      ///< second Ctrl-C
};

/// Exit code and one-line message of an exception.
struct Failure {
  int code;
  std::string message;
};
Failure describe_failure(const std::exception& error);

/// Ends the executable with an exit code that another process of it chose.
class ChildError : public std::runtime_error {
 public:
  explicit ChildError(const Failure& failure) : std::runtime_error(failure.message), code_(failure.code) {}
  int code() const { return code_; }

 private:
  int code_;
};

}  // namespace lathe::cli
