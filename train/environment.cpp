#include "train/environment.h"

#include <fstream>
#include <string>

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/cpu/isa.h"
#include "core/parallel.h"
#include "train/packing.h"
#include "train/version.h"

namespace lathe {
namespace {

/// Linux's name of the processor; empty elsewhere.
std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with("model name")) continue;
    const size_t colon = line.find(": ");
    return colon == std::string::npos ? std::string() : line.substr(colon + 2);
  }
  return {};
}

Value describe_machine() {
  utsname system = {};
  uname(&system);
  const int64_t pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGE_SIZE);
  return Value::object({{"processor", Value::string(processor_name())},
                        {"cores", Value::integer(sysconf(_SC_NPROCESSORS_ONLN))},
                        {"memory_bytes", Value::integer(pages * page)},
                        {"architecture", Value::string(system.machine)},
                        {"system", Value::string(concat(system.sysname, " ", system.release))}});
}

}  // namespace

Value describe_environment(Device device, const Dataset* train, const Dataset* test) {
  Value data = Value::object();
  for (const Dataset* split : {train, test}) {
    if (split == nullptr) continue;
    data.set(split->info().split, Value::object({{"samples", Value::integer(split->size())},
                                                 {"hash", Value::string(split->info().content_hash)}}));
  }
  return Value::object({{"lathe", Value::string(std::string(version()))},
                        {"build", Value::string(std::string(build_description()))},
                        {"isa", Value::string(std::string(to_string(cpu::active_isa())))},
                        {"device", Value::string(describe(device))},
                        {"threads", Value::integer(num_threads())},
                        {"machine", describe_machine()},
                        {"input", train == nullptr ? Value() : describe_input(train->info())},
                        {"data", std::move(data)}});
}

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t all = 0, resident = 0;
  if (!(file >> all >> resident)) return 0;
  return resident * sysconf(_SC_PAGESIZE);
}

int64_t peak_rss_bytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;  // Linux counts KiB
}

}  // namespace lathe
