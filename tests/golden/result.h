#pragma once
// What became of one golden file, or of one value checked in it.

#include <string>
#include <vector>

namespace lathe::golden {

struct GoldenResult {
  enum Status { Passed, Failed, Unsupported };
  std::string file;   ///< the case's name: "conv2d_1x1"
  std::string check;  ///< what was compared: "y f64", "grad weight f32"; empty for the whole file
  Status status = Passed;
  std::string message;  ///< when passed: empty, or a remark
};

}  // namespace lathe::golden
