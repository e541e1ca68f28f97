#include "train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <system_error>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/json.h"
#include "train/run_folder.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFormat = 1;
constexpr const char* kManifest = "manifest.json";
constexpr const char* kModel = "model.safetensors";
constexpr const char* kOptimizer = "optimizer.safetensors";
constexpr const char* kEma = "ema.safetensors";
constexpr const char* kEvaluated = "evaluated.safetensors";
constexpr const char* kState = "state.json";
constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kOld = ".old";

[[noreturn]] void io_error(const fs::path& path, const char* doing, const std::error_code& code) {
  LATHE_THROW(IoError, path.string(), ": cannot ", doing, ": ", code.message());
}

void rename_or_throw(const fs::path& from, const fs::path& to) {
  std::error_code code;
  fs::rename(from, to, code);
  if (code) io_error(to, "rename into place", code);
}

void make_folder(const fs::path& path) {
  std::error_code code;
  const bool fresh = fs::create_directories(path, code);
  if (code) io_error(path, "create", code);
  if (fresh) sync_directory(path.parent_path());
}

/// Its manifest first: what a kill in the middle leaves is incomplete, not damaged.
void remove_checkpoint(const fs::path& path) {
  std::error_code code;
  fs::remove(path / kManifest, code);
  if (!code) fs::remove_all(path, code);
  if (code) io_error(path, "remove", code);
}

std::string folder_name(int64_t step) {
  const std::string digits = std::to_string(step);
  return concat(kPrefix, std::string(digits.size() < 8 ? 8 - digits.size() : 0, '0'), digits);
}

/// A folder named as a checkpoint, complete or not.
struct Place {
  int64_t step;
  bool replaced;  // moved aside for a newer one of the same step
  fs::path path;
};

std::optional<Place> parse_place(const fs::path& path) {
  std::string name = path.filename().string();
  Place place{0, false, path};
  if (name.ends_with(kOld)) {
    place.replaced = true;
    name.resize(name.size() - kOld.size());
  }
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, place.step);
  if (error != std::errc() || stop != end || name != folder_name(place.step)) return std::nullopt;
  return place;
}

/// Oldest first.
std::vector<Place> list_places(const fs::path& checkpoints) {
  std::vector<Place> places;
  std::error_code code;
  fs::directory_iterator it(checkpoints, code);
  if (code == std::errc::no_such_file_or_directory) return places;
  for (; !code && it != fs::directory_iterator(); it.increment(code)) {
    if (const auto place = parse_place(it->path())) places.push_back(*place);
  }
  if (code) io_error(checkpoints, "list", code);
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return a.step != b.step ? a.step < b.step : a.replaced && !b.replaced;
  });
  return places;
}

bool is_complete(const Place& place) {
  std::error_code code;
  const bool there = fs::exists(place.path / kManifest, code);
  if (code) io_error(place.path, "look into", code);
  return there;
}

std::vector<fs::path> complete_places(const fs::path& checkpoints) {
  std::vector<fs::path> paths;
  int64_t last = -1;
  for (const Place& place : list_places(checkpoints)) {
    if (!is_complete(place)) continue;
    if (place.step == last) paths.pop_back();  // the replaced one stands first
    last = place.step;
    paths.push_back(place.path);
  }
  return paths;
}

void write_files(const fs::path& folder, const Checkpoint& checkpoint) {
  std::vector<std::string> names = {kModel, kOptimizer, kState};
  write_safetensors(folder / kModel, checkpoint.model);
  write_safetensors(folder / kOptimizer, checkpoint.optimizer);
  if (!checkpoint.ema.empty()) {
    write_safetensors(folder / kEma, checkpoint.ema);
    names.insert(names.end() - 1, kEma);
  }
  if (!checkpoint.evaluated.empty()) {
    write_safetensors(folder / kEvaluated, checkpoint.evaluated);
    names.insert(names.end() - 1, kEvaluated);
  }
  write_atomic(folder / kState, to_json(write_fields(checkpoint.state), 2) + "\n");
  Value files = Value::object();
  for (const std::string& name : names) {
    const uint64_t size = InputFile(folder / name).size();
    files.append(name, Value::object({{"bytes", Value::integer(static_cast<int64_t>(size))},
                                      {"xxh64", Value::string(hash_file(folder / name))}}));
  }
  const Value manifest = Value::object({{"format", Value::integer(kFormat)}, {"files", std::move(files)}});
  write_atomic(folder / kManifest, to_json(manifest, 2) + "\n");
}

/// Puts a finished folder in its place. One of the same step moves aside first and is found there should the
/// run be killed in between.
void move_into_place(const fs::path& fresh, const fs::path& place) {
  const fs::path aside = place.string() + std::string(kOld);
  std::error_code code;
  if (fs::exists(place, code)) {
    if (fs::exists(aside, code)) remove_checkpoint(aside);
    rename_or_throw(place, aside);
    try {
      rename_or_throw(fresh, place);
    } catch (const IoError&) {
      fs::rename(aside, place, code);
      throw;
    }
    return;
  }
  if (code) io_error(place, "look for", code);
  rename_or_throw(fresh, place);
}

void prune(const fs::path& checkpoints, const fs::path& newest, int64_t keep) {
  std::vector<fs::path> kept = complete_places(checkpoints);
  if (static_cast<int64_t>(kept.size()) > keep) kept.erase(kept.begin(), kept.end() - keep);
  kept.push_back(newest);  // whatever its step
  for (const Place& place : list_places(checkpoints)) {
    if (std::find(kept.begin(), kept.end(), place.path) == kept.end()) remove_checkpoint(place.path);
  }
}

/// One file's entry of the manifest.
struct FileEntry {
  int64_t bytes = 0;
  std::string xxh64;
  void fields(FieldVisitor& v) {
    v.visit("bytes", bytes, {.doc = "size", .min = 0, .required = true});
    v.visit("xxh64", xxh64, {.doc = "xxHash64 of the content", .required = true});
  }
};

struct Manifest {
  int64_t format = 0;
  Value files;
  void fields(FieldVisitor& v) {
    v.visit("format", format, {.doc = "version", .min = kFormat, .max = kFormat, .required = true});
    v.visit("files", files, {.doc = "every other file by its name", .required = true});
  }
};

void verify_file(const fs::path& path, const FileEntry& entry) {
  std::error_code code;
  LATHE_CHECK(FormatError, fs::exists(path, code), path.string(),
              ": the manifest lists it, but it is missing");
  const uint64_t size = InputFile(path).size();
  LATHE_CHECK(FormatError, size == static_cast<uint64_t>(entry.bytes), path.string(), ": ", size,
              " bytes, the manifest says ", entry.bytes);
  const std::string hash = hash_file(path);
  LATHE_CHECK(FormatError, hash == entry.xxh64, path.string(), ": damaged: its hash is ", hash,
              ", the manifest says ", entry.xxh64);
}

/// Which of the files are there that need not be.
struct Extras {
  bool ema = false, evaluated = false;
};

/// Checks every file.
Extras verify(const fs::path& directory) {
  const fs::path path = directory / kManifest;
  const FieldPath where{path.string(), ""};
  Manifest manifest;
  read_fields(manifest, read_run_file(path), where);
  Extras extras;
  std::vector<std::string> missing = {kModel, kOptimizer, kState};
  if (!manifest.files.is(Value::Type::Object)) config_error(where / "files", 0, "expected an object");
  for (const auto& [name, value] : manifest.files.members()) {
    const auto known = std::find(missing.begin(), missing.end(), name);
    if (known != missing.end()) {
      missing.erase(known);
    } else if (name == kEma) {
      extras.ema = true;
    } else if (name == kEvaluated) {
      extras.evaluated = true;
    } else {
      config_error(where / "files", value.line(), concat("unknown file '", name, "'"));
    }
    FileEntry entry;
    read_fields(entry, value, where / "files" / name);
    verify_file(directory / name, entry);
  }
  if (!missing.empty()) config_error(where / "files", 0, concat("'", missing[0], "' is not listed"));
  return extras;
}

}  // namespace

void CheckpointState::fields(FieldVisitor& v) {
  v.visit("step", step, {.doc = "updates made", .min = 0, .required = true});
  v.visit("seed", seed, {.doc = "the run's", .min = 0, .required = true});
  v.visit("experiment", experiment, {.doc = "hash of the resolved experiment", .required = true});
  v.visit("progress", progress, {.doc = "what the trainer remembers", .required = true});
}

fs::path write_checkpoint(const fs::path& checkpoints, const Checkpoint& checkpoint, int64_t keep) {
  LATHE_CHECK(ConfigError, keep >= 1, "checkpoint: keep is ", keep, ", expected at least 1");
  LATHE_CHECK(ConfigError, checkpoint.state.step >= 0, "checkpoint: step ", checkpoint.state.step,
              " is negative");
  make_folder(checkpoints);
  const std::string name = folder_name(checkpoint.state.step);
  const fs::path fresh = checkpoints / concat(".", name, ".new"), place = checkpoints / name;
  remove_checkpoint(fresh);  // a killed run's
  try {
    make_folder(fresh);
    write_files(fresh, checkpoint);
    move_into_place(fresh, place);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(fresh, ignored);
    throw;
  }
  sync_directory(checkpoints);
  prune(checkpoints, place, keep);
  return place;
}

std::vector<fs::path> list_checkpoints(const fs::path& checkpoints) {
  return complete_places(checkpoints);
}

Checkpoint read_checkpoint(const fs::path& directory) {
  try {
    const Extras extras = verify(directory);
    Checkpoint checkpoint;
    const fs::path state = directory / kState;
    read_fields(checkpoint.state, read_run_file(state), {state.string(), ""});
    checkpoint.model = read_safetensors(directory / kModel).tensors;
    checkpoint.optimizer = read_safetensors(directory / kOptimizer).tensors;
    if (extras.ema) checkpoint.ema = read_safetensors(directory / kEma).tensors;
    if (extras.evaluated) checkpoint.evaluated = read_safetensors(directory / kEvaluated).tensors;
    return checkpoint;
  } catch (const ConfigError& error) {  // of a manifest or state that says something else than we write
    throw FormatError(error.what());
  }
}

std::optional<Checkpoint> read_newest_checkpoint(const fs::path& checkpoints) {
  const std::vector<fs::path> paths = complete_places(checkpoints);
  if (paths.empty()) return std::nullopt;
  return read_checkpoint(paths.back());
}

}  // namespace lathe
