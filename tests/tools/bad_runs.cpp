// Folders of runs.

#include "core/files.h"
#include "tests/tools/bad_inputs.h"

namespace lathe::tests {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNewest = "checkpoints/step-00000006";
const std::vector<std::string> kEval = {"eval", "run"};
const std::vector<std::string> kResume = {"train", "exp.json", "--out", "run", "--resume", "--quiet"};

Prepare without(const std::string& path) {
  return [=](const fs::path& run) { fs::remove_all(run / path); };
}

Prepare flipped(const std::string& path, size_t byte) {
  return [=](const fs::path& run) { flip_bit(run / path, byte); };
}

Prepare cut(const std::string& path, size_t bytes) {
  return [=](const fs::path& run) { truncate(run / path, bytes); };
}

Prepare edited(const std::string& path, const std::string& from, const std::string& to) {
  return [=](const fs::path& run) { replace_in(run / path, from, to); };
}

std::string newest(const char* name) {
  return std::string(kNewest) + "/" + name;
}

BadInput eval(std::string name, const Prepare& spoil, std::vector<std::string> says) {
  return {std::move(name), trained(spoil), kEval, 4, std::move(says)};
}

std::vector<BadInput> damaged() {
  return {
      eval("flipped bit in the weights", flipped(newest("model.safetensors"), 5000),
           {newest("model.safetensors") + ": damaged", "the manifest says"}),
      eval("flipped bit in the optimizer's state", flipped(newest("optimizer.safetensors"), 5000),
           {newest("optimizer.safetensors") + ": damaged"}),
      eval("truncated weights", cut(newest("model.safetensors"), 1000),
           {newest("model.safetensors") + ": 1000 bytes, the manifest says"}),
      eval("truncated state", cut(newest("state.json"), 20), {newest("state.json"), "20 bytes"}),
      eval("truncated manifest", cut(newest("manifest.json"), 60),
           {newest("manifest.json:"), "found the end of the text"}),
      eval("empty manifest", cut(newest("manifest.json"), 0), {newest("manifest.json:1: ")}),
      eval("manifest of the future", edited(newest("manifest.json"), "\"format\": 1", "\"format\": 2"),
           {newest("manifest.json:2: format: "), "found 2"}),
      eval("manifest with a file of its own", edited(newest("manifest.json"), "\"state.json\"", "\"x.json\""),
           {newest("manifest.json"), "unknown file 'x.json'"}),
      eval("missing file of a checkpoint", without(newest("optimizer.safetensors")),
           {newest("optimizer.safetensors"), "is missing"}),
      eval("no checkpoint", without("checkpoints"), {"run: ", "no complete checkpoint"}),
      eval("no resolved.json", without("resolved.json"),
           {"run: ", "without resolved.json", "expected a run"}),
      eval("truncated resolved.json", cut("resolved.json", 100),
           {"run/resolved.json:", "found the end of the text"}),
      eval("resolved.json of another shape", file("resolved.json", "[]"),
           {"run/resolved.json", "found an array"}),
      eval("resolved.json with a number for a name", edited("resolved.json", "\"tiny\"", "7"),
           {"run/resolved.json:3: name: ", "expected a string", "found the integer 7"}),
      eval("resolved.json with a model of nobody", edited("resolved.json", "\"mlp\"", "\"mpl\""),
           {"run/resolved.json:", "no model 'mpl'"}),
      eval("resolved.json with another model's size",
           edited("resolved.json", "\"hidden\": [4]", "\"hidden\": [5]"),
           {std::string(kNewest) + ": layers.0.", "the model expects"}),
  };
}

BadInput resume(std::string name, const Prepare& spoil, int code, std::vector<std::string> says) {
  return {std::move(name), trained(spoil), kResume, code, std::move(says)};
}

std::vector<BadInput> resumed() {
  const auto changed = [](std::string name, const char* from, const char* to, std::vector<std::string> says) {
    return BadInput{std::move(name), all({trained(), experiment(from, to)}), kResume, 2, std::move(says)};
  };
  return {
      changed("resumed with another rate", "\"lr\": 0.05", "\"lr\": 0.06",
              {"run: the run was begun with another experiment", "optimizer.lr: 0.05 before, 0.06 now"}),
      changed("resumed with more epochs", "\"epochs\": 3", "\"epochs\": 4",
              {"train.epochs: 3 before, 4 now"}),
      resume("resumed with damaged weights", flipped(newest("model.safetensors"), 9000), 4,
             {newest("model.safetensors") + ": damaged"}),
      resume("resumed with a truncated resolved.json", cut("resolved.json", 50), 4, {"run/resolved.json:"}),
      resume("resumed with a truncated environment.json", cut("environment.json", 50), 4,
             {"run/environment.json:"}),
      resume("resumed on other data", edited("environment.json", "\"samples\": 64", "\"samples\": 65"), 3,
             {"run: ", "the data changed", "65", "64"}),
      {"resumed where nothing is",
       experiment(),
       kResume,
       2,
       {"run: ", "there is no run to resume", "without --resume"}},
      {"trained into a run",
       trained(),
       {"train", "exp.json", "--out", "run", "--quiet"},
       2,
       {"run: ", "a run is there already", "--resume", "--out"}},
      {"trained into a folder of something else",
       all({experiment(), file("run/notes.txt", "mine")}),
       {"train", "exp.json", "--out", "run", "--quiet"},
       2,
       {"run: ", "the folder is not empty", "--out"}},
      {"resumed in a folder of something else",
       all({experiment(), file("run/notes.txt", "mine")}),
       kResume,
       2,
       {"run: ", "no run to resume", "the folder is not empty", "--out", "'notes.txt'"}},
      {"resumed in a folder of more than a run's first files",
       trained([](const fs::path& run) { fs::remove(run / "resolved.json"); }),
       kResume,
       2,
       {"run: ", "no run to resume", "the folder is not empty"}},
  };
}

std::vector<BadInput> started() {
  return {
      {"fine-tuned from a damaged run",
       trained(flipped(newest("model.safetensors"), 100)),
       {"train", "exp.json", "--init", "run", "--out", "new", "--quiet"},
       4,
       {newest("model.safetensors") + ": damaged"}},
      {"fine-tuned from nothing",
       experiment(),
       {"train", "exp.json", "--init", "old", "--out", "new", "--quiet"},
       5,
       {"old: ", "there is no such run"}},
      {"diverged",
       experiment("\"lr\": 0.05", "\"lr\": 1e20"),
       {"train", "exp.json", "--out", "run", "--quiet"},
       6,
       {"diverged at step", "of 6", "loss"},
       {"run"}},
      {"diverged in its last step",
       experiment("\"lr\": 0.05", "\"lr\": 1e30"),
       {"train", "exp.json", "--out", "run", "--quiet", "--set", "data.batch=64", "--set", "train.epochs=1"},
       6,
       {"diverged at step 0 of 1 (epoch 1)", "the evaluation's loss is "},
       {"run"}},
      {"prove-resume of a run that diverges",
       experiment("\"lr\": 0.05", "\"lr\": 1e20"),
       {"prove-resume", "exp.json", "--out", "proof", "--quiet"},
       6,
       {"prove-resume: training ended with exit code 6: diverged at step", "proof/continuous.log"},
       {"proof"}},
  };
}

}  // namespace

std::vector<BadInput> bad_runs() {
  std::vector<BadInput> rows = damaged();
  for (BadInput& row : resumed()) rows.push_back(std::move(row));
  for (BadInput& row : started()) rows.push_back(std::move(row));
  const std::vector<BadInput> others = {
      {"eval of a missing folder", nothing(), kEval, 5, {"run: ", "there is no such run"}},
      {"eval of a file", file("run", ""), kEval, 4, {"run: ", "too few for a packed model"}},
      {"verify of a run without a packed file",
       trained([](const fs::path& run) { fs::remove(run / "model.lathe"); }),
       {"verify", "run"},
       5,
       {"run/model.lathe: ", "there is no such run folder or packed file"}},
      {"packed file with a changed byte",
       trained([](const fs::path& run) { flip_bit(run / "model.lathe", 300); }),
       {"eval", "run/model.lathe"},
       4,
       {"run/model.lathe: ", "damaged"}},
      {"packed file cut short",
       trained([](const fs::path& run) { truncate(run / "model.lathe", 300); }),
       {"verify", "run"},
       4,
       {"run/model.lathe: "}},
      {"pack of a packed file",
       trained(),
       {"pack", "run/model.lathe", "-o", "x.lathe"},
       2,
       {"run/model.lathe: ", "expected a run's folder"}},
      {"unpack of a run's folder",
       trained(),
       {"unpack", "run", "-o", "x"},
       2,
       {"run: ", "expected a packed file"}},
      {"eval of a folder that is no run", file("run/notes.txt", ""), kEval, 4, {"run: ", "expected a run"}},
      {"info of a folder that is no run", file("run/x", ""), {"info", "run"}, 4, {"run: ", "expected a run"}},
      {"export of a missing run",
       nothing(),
       {"export", "run", "-o", "w.safetensors"},
       5,
       {"run: ", "there is no such run"}},
      {"export of a damaged run",
       trained(flipped(newest("model.safetensors"), 7000)),
       {"export", "run", "-o", "w.safetensors"},
       4,
       {newest("model.safetensors") + ": damaged"}},
  };
  rows.insert(rows.end(), others.begin(), others.end());
  return rows;
}

}  // namespace lathe::tests
