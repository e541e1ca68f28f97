#pragma once
// The repository's own text, for tests about the code.

#include <string>
#include <vector>

namespace lathe::meta {

struct SourceFile {
  std::string path;                ///< from the root, "core/tensor.h"
  std::vector<std::string> lines;  ///< without line ends

  std::string folder() const;     ///< first part of the path, empty at the root
  std::string extension() const;  ///< ".h"
  bool is_header() const;
  bool is_code() const;  ///< .h .cpp .cu .cuh
};

/// A file made of a text, for planted violations.
SourceFile make_file(std::string path, const std::string& text);

/// Every text file that git would track, by path; build folders and hidden ones are left out.
const std::vector<SourceFile>& source_tree();

/// "core/tensor.h:12: what is wrong"
using Problems = std::vector<std::string>;
std::string at(const SourceFile& file, size_t line_index);

/// Runs a checker over the tree and reports each problem to doctest.
void check_tree(Problems (*checker)(const SourceFile& file));

/// The line without string and character literals and without a // comment, so that a pattern met in the rest
/// is code. Raw strings that span lines are not recognised.
std::string code_of(const std::string& line);

}  // namespace lathe::meta
