#include "tests/tools/cli.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/files.h"

namespace lathe::tests {
namespace {

namespace fs = std::filesystem;

constexpr int kCannotStart = 127;
constexpr std::chrono::seconds kPatience(120);

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> environment_with(const std::vector<std::string>& added) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view old = *entry;
    const auto replaces = [&](const std::string& one) {
      return old.starts_with(one.substr(0, one.find('=') + 1));
    };
    if (std::none_of(added.begin(), added.end(), replaces)) all.emplace_back(old);
  }
  all.insert(all.end(), added.begin(), added.end());
  return all;
}

fs::path fresh_folder() {
  std::string name = (fs::temp_directory_path() / "lathe-child-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
  return name;
}

/// The build's executable, unless the environment names another of its executables.
std::string executable() {
  const char* other = std::getenv("LATHE_EXECUTABLE");
  return other != nullptr ? other : LATHE_EXECUTABLE;
}

bool redirect(const char* path, int descriptor) {
  const int file = ::open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
  return file >= 0 && ::dup2(file, descriptor) >= 0;
}

bool limit_file_size(size_t bytes) {
  const rlimit limit{bytes, bytes};
  return std::signal(SIGXFSZ, SIG_IGN) != SIG_ERR && ::setrlimit(RLIMIT_FSIZE, &limit) == 0;
}

}  // namespace

// Between fork and exec the child of a process with threads may only make system calls: no allocation.
Child::Child(const Invocation& invocation) : output_(fresh_folder()) {
  std::vector<std::string> arguments = {"lathe"};
  arguments.insert(arguments.end(), invocation.arguments.begin(), invocation.arguments.end());
  const std::vector<std::string> environment = environment_with(invocation.environment);
  const std::vector<char*> argv = pointers(arguments), envp = pointers(environment);
  const std::string out = (invocation.out.empty() ? output_ / "out" : invocation.out).string();
  const std::string err = (output_ / "err").string(), program = executable();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("cannot fork");
  if (pid_ > 0) return;
  bool ready = redirect(out.c_str(), STDOUT_FILENO) && redirect(err.c_str(), STDERR_FILENO);
  ready = ready && ::chdir(invocation.folder.c_str()) == 0;
  if (ready && invocation.file_size_limit) ready = limit_file_size(*invocation.file_size_limit);
  if (ready) ::execve(program.c_str(), argv.data(), envp.data());
  ::_exit(kCannotStart);
}

Child::~Child() {
  if (!ended_) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &status_, 0);
  }
  std::error_code ignored;
  fs::remove_all(output_, ignored);
}

bool Child::running() {
  if (!ended_) ended_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  return !ended_;
}

void Child::signal(int number) const {
  if (!ended_) ::kill(pid_, number);
}

Finished Child::wait() {
  const auto start = std::chrono::steady_clock::now();
  while (running()) {
    if (std::chrono::steady_clock::now() - start > kPatience) throw std::runtime_error("lathe does not end");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const auto text = [&](const char* name) {
    return fs::exists(output_ / name) ? read_text(output_ / name) : std::string();
  };
  return {WIFEXITED(status_) ? WEXITSTATUS(status_) : -1, text("out"), text("err")};
}

Finished run_lathe(const Invocation& invocation) {
  return Child(invocation).wait();
}

}  // namespace lathe::tests
