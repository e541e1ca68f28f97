#include "train/run_folder.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"

namespace lathe {
namespace fs = std::filesystem;

bool RunPaths::has_run() const {
  return fs::exists(resolved());
}

Value read_run_file(const fs::path& path) try {
  Value value = parse_json(read_text(path), path.string());
  LATHE_CHECK(FormatError, value.is(Value::Type::Object), path.string(), ":", value.line(),
              ": expected an object, found ", describe(value.type()));
  return value;
} catch (const ConfigError& error) {
  throw FormatError(error.what());
}

namespace {

/// What a run leaves that is killed before its resolved.json is there: whole files, and parts of them.
bool is_first_file(const RunPaths& paths, const std::string& name) {
  const auto is_part_of = [&](const fs::path& path) {
    return name.starts_with(concat(".", path.filename().string(), ".tmp"));
  };
  const fs::path first[] = {paths.experiment(), paths.environment(), paths.quantizers(), paths.checkpoints()};
  return is_part_of(paths.resolved()) ||
         std::any_of(std::begin(first), std::end(first),
                     [&](const fs::path& path) { return name == path.filename() || is_part_of(path); });
}

/// A run's first files are all that it may find in the folder, and only when it goes on.
void refuse_foreign_files(const RunPaths& paths, bool resume) {
  for (const auto& entry : fs::directory_iterator(paths.folder)) {
    const std::string name = entry.path().filename().string();
    LATHE_CHECK(ConfigError, resume && is_first_file(paths, name), paths.folder.string(),
                resume ? ": there is no run to resume, and" : ":",
                " the folder is not empty; choose another with --out; found '", name, "'");
  }
}

}  // namespace

RunFolder::RunFolder(const fs::path& folder, bool resume) try : paths_{folder} {
  const bool exists = fs::exists(folder);
  LATHE_CHECK(ConfigError, !resume || exists, folder.string(),
              ": there is no run to resume; start it without --resume");
  fresh_ = !paths_.has_run();
  LATHE_CHECK(ConfigError, resume || fresh_, folder.string(),
              ": a run is there already; continue it with --resume or choose another folder with --out");
  LATHE_CHECK(ConfigError, !exists || fs::is_directory(folder), folder.string(),
              ": a file is there, not a folder; choose another with --out");
  if (exists && fresh_) refuse_foreign_files(paths_, resume);
  made_ = fs::create_directories(folder);
  lock_ = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  LATHE_CHECK(IoError, lock_ >= 0, folder.string(), ": ", std::strerror(errno));
  if (flock(lock_, LOCK_EX | LOCK_NB) == 0) return;
  close(lock_);
  LATHE_THROW(ConfigError, folder.string(), ": another process is training there");
} catch (const fs::filesystem_error& error) {
  LATHE_THROW(IoError, folder.string(), ": ", error.code().message());
}

RunFolder::~RunFolder() {
  if (made_) rmdir(paths_.folder.c_str());  // fails where anything is in it
  close(lock_);
}

void RunFolder::set_status(std::string_view status, int64_t step, std::string_view message) const {
  Value value = Value::object({{"status", Value::string(std::string(status))},
                               {"step", Value::integer(step)},
                               {"updated", Value::string(utc_time())},
                               {"process", Value::integer(getpid())}});
  if (!message.empty()) value.set("message", Value::string(std::string(message)));
  write_atomic(paths_.status(), to_json(value, 2) + "\n");
}

void RunFolder::log(std::string_view message) const {
  std::ofstream file(paths_.log(), std::ios::app);
  file << utc_time() << ' ' << message << '\n';
  file.flush();
  LATHE_CHECK(IoError, file.good(), paths_.log().string(), ": cannot be written");
}

fs::path default_run_folder(const std::string& name) {
  return fs::path("runs") / name;
}

double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string utc_time() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts = {};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace lathe
