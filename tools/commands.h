#pragma once
// The commands of the executable, one file each in tools/commands/.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace lathe::cli {

/// Options that several commands take, and what main() runs once the command line is read.
struct Session {
  int threads = 0;  ///< 0: every core
  std::string device = "auto";
  std::optional<uint64_t> seed;
  bool json = false;
  bool quiet = false;
  bool dry_run = false;
  std::function<int()> command;  ///< the chosen command; returns an ExitCode
};

/// Adds what every command takes: --threads, --json and --quiet.
void add_common_options(CLI::App& command, Session& session);
/// Adds --device to a command that computes there.
void add_device_option(CLI::App& command, Session& session);
/// Adds --seed to a command that draws numbers; `what` is the help's line.
void add_seed_option(CLI::App& command, Session& session, const char* what);
/// Applies them: thread count and device. DeviceError when the device is not there.
void apply_common_options(const Session& session);

void add_train(CLI::App& app, Session& session);
void add_eval(CLI::App& app, Session& session);
void add_info(CLI::App& app, Session& session);
void add_list(CLI::App& app, Session& session);
void add_schema(CLI::App& app, Session& session);
void add_data(CLI::App& app, Session& session);
void add_gradcheck(CLI::App& app, Session& session);
void add_bench(CLI::App& app, Session& session);
void add_import(CLI::App& app, Session& session);
void add_export(CLI::App& app, Session& session);
void add_pack(CLI::App& app, Session& session);  ///< pack, unpack and verify
void add_run(CLI::App& app, Session& session);
void add_sweep(CLI::App& app, Session& session);
void add_prove_resume(CLI::App& app, Session& session);

}  // namespace lathe::cli
