#pragma once
// What a golden runner reports, one row per check of a file.

#include <cstdint>
#include <string>
#include <vector>

namespace lathe::golden {

enum class Status : uint8_t {
  Pass,
  Fail,
  Unsupported,  ///< named, never skipped: what this build cannot run
};

struct GoldenResult {
  std::string file;   ///< "resnet20_cifar10.json"
  std::string check;  ///< "f64 train grad conv1.weight"; empty when the whole file is meant
  Status status = Status::Pass;
  std::string message;  ///< why it failed or is not supported
};

inline const char* to_string(Status status) {
  switch (status) {
    case Status::Pass:
      return "pass";
    case Status::Fail:
      return "fail";
    case Status::Unsupported:
      return "unsupported";
  }
  return "unknown";
}

}  // namespace lathe::golden
