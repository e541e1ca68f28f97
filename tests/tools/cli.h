#pragma once
// The executable as a child process: what a user sees of it.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace lathe::tests {

struct Invocation {
  std::vector<std::string> arguments;          ///< behind `lathe`
  std::filesystem::path folder;                ///< in which it runs
  std::vector<std::string> environment = {};   ///< "NAME=value", added to this process's own
  std::optional<size_t> file_size_limit = {};  ///< a write beyond it fails, as on a full disk
  std::filesystem::path out = {};              ///< stdout, instead of Finished::out
};

struct Finished {
  int code;  ///< -1: ended by a signal
  std::string out, err;
};

/// A running `lathe`; killed when it goes before it has ended.
class Child {
 public:
  explicit Child(const Invocation& invocation);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();
  bool running();
  void signal(int number) const;
  Finished wait();  ///< std::runtime_error when it has not ended after two minutes

 private:
  int pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
  std::filesystem::path output_;  // a folder of its own
};

Finished run_lathe(const Invocation& invocation);

}  // namespace lathe::tests
