#include "train/saved_run.h"

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "models/registry.h"
#include "train/checkpoint.h"
#include "train/model_state.h"
#include "train/run_folder.h"

namespace lathe {
namespace {

const Value& section(const Value& resolved, std::string_view key, const std::filesystem::path& file) {
  const Value* value = resolved.find(key);
  LATHE_CHECK(FormatError, value != nullptr, file.string(), ": required key '", key, "' is missing");
  return *value;
}

}  // namespace

SavedRun open_run(const std::filesystem::path& folder) {
  LATHE_CHECK(IoError, std::filesystem::is_directory(folder), folder.string(),
              ": there is no such run folder");
  const RunPaths paths{folder};
  LATHE_CHECK(FormatError, paths.has_run(), folder.string(),
              ": found a folder without resolved.json, expected a run");
  const std::string file = paths.resolved().string();
  const Value resolved = parse_json(read_text(paths.resolved()), file);
  SavedRun run;
  run.folder = folder;
  run.where = {file, ""};
  run.name = section(resolved, "name", file).as_string();
  run.seed = section(resolved, "seed", file).as_int();
  run.model = section(resolved, "model", file);
  run.data = section(resolved, "data", file);
  run.loss = section(resolved, "loss", file);
  const std::vector<std::filesystem::path> checkpoints = list_checkpoints(paths.checkpoints());
  LATHE_CHECK(FormatError, !checkpoints.empty(), folder.string(), ": the run has no complete checkpoint yet");
  run.checkpoint = checkpoints.back();
  return run;
}

std::unique_ptr<Model> load_run_model(const SavedRun& run, const RootOptions& options) {
  std::unique_ptr<Model> model = model_registry().build(run.model, run.where / "model", options);
  const Checkpoint checkpoint = read_checkpoint(run.checkpoint);
  load_model_state(*model, checkpoint.ema.empty() ? checkpoint.model : checkpoint.ema);
  return model;
}

std::unique_ptr<Task> run_task(const SavedRun& run, const DatasetInfo& data) {
  return task_for(data, loss_registry().build(run.loss, run.where / "loss"));
}

std::unique_ptr<Dataset> evaluation_split(const Value& data, const FieldPath& where, const std::string& split,
                                          uint64_t seed) {
  Value plain = data;
  if (plain.find("augment") != nullptr) plain.set("augment", Value::array());
  return split_registry().build(plain, where, split, seed);
}

void write_imported_run(const std::filesystem::path& folder, const Value& model_section,
                        const Value& data_section, const Model& model) {
  const RunFolder opened(folder, false);
  const RunPaths& paths = opened.paths();
  const Value resolved =
      Value::object({{"schema", Value::integer(1)},
                     {"name", Value::string(folder.filename().string())},
                     {"seed", Value::integer(0)},
                     {"data", data_section},
                     {"model", model_section},
                     {"loss", loss_registry().resolve(
                                  Value::object({{"type", Value::string("cross_entropy")}}), {"", "loss"})}});
  Checkpoint checkpoint;
  checkpoint.model = model_state(model);
  write_checkpoint(paths.checkpoints(), checkpoint, 1);
  write_atomic(paths.experiment(), to_json(resolved, 2) + "\n");
  write_atomic(paths.resolved(), to_json(resolved, 2) + "\n");
  opened.set_status("done", 0);
}

}  // namespace lathe
