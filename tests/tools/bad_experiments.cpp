// Experiment files.

#include "tests/tools/bad_inputs.h"

namespace lathe::tests {
namespace {

const std::vector<std::string> kTrain = {"train", "exp.json", "--out", "run", "--quiet"};

// The small experiment with one piece replaced.
struct Edit {
  const char* name;
  const char* from;
  const char* to;
  std::vector<std::string> says;
};

const Edit kEdits[] = {
    {"unknown key", R"("seed")", R"("sead")", {"exp.json:2: ", "unknown key 'sead'", "'seed'"}},
    {"unknown nested key",
     R"("momentum")",
     R"("momentun")",
     {"exp.json:6: optimizer: ", "unknown key 'momentun'", "'momentum'"}},
    {"unknown key near nothing",
     R"("keep": 3)",
     R"("zzzzzzz": 3)",
     {"exp.json:9: output: ", "unknown key 'zzzzzzz'", "known keys: checkpoint_epochs, keep"}},
    {"duplicate key",
     R"("epochs": 3)",
     "\"epochs\": 3,\n\"epochs\": 4",
     {"exp.json:9: ", "'epochs' appears twice", "first on line 8"}},
    {"mistyped value",
     R"("epochs": 3)",
     R"("epochs": "3")",
     {"exp.json:8: train.epochs: ", "expected an integer", "found a string"}},
    {"a real number for an integer",
     R"("batch": 32)",
     R"("batch": 32.5)",
     {"exp.json:3: data.batch: ", "expected an integer", "found a real number"}},
    {"number below its range",
     R"("lr": 0.05)",
     R"("lr": -0.05)",
     {"exp.json:6: optimizer.lr: ", "at least 0", "found -0.05"}},
    {"number above its range",
     R"("momentum": 0.9)",
     R"("momentum": 1.5)",
     {"exp.json:6: optimizer.momentum: ", "at most 1", "found 1.5"}},
    {"number no double holds",
     R"("lr": 0.05)",
     R"("lr": 1e999)",
     {"exp.json:6: ", "number 1e999", "out of range"}},
    {"negative epochs",
     R"("epochs": 3)",
     R"("epochs": -1)",
     {"exp.json:8: train.epochs: ", "at least 1", "found -1"}},
    {"epochs whose steps overflow",
     R"("epochs": 3)",
     R"("epochs": 9000000000000000000)",
     {"exp.json:8: train.epochs: ", "at most", "found 9"}},
    {"more threads than there can be",
     R"("seed": 4,)",
     R"("seed": 4, "threads": 5000000000,)",
     {"exp.json:2: threads: ", "at most 1024", "found 5"}},
    {"missing required key",
     R"("train": {"epochs": 3},)",
     "",
     {"exp.json:1: ", "required key 'train' is missing"}},
    {"missing nested key", R"({"epochs": 3})", "{}", {"exp.json:8: train: ", "'epochs' is missing"}},
    {"a list for an object",
     R"({"epochs": 3})",
     "[3]",
     {"exp.json:8: train: ", "expected an object", "found an array"}},
    {"syntax error", R"("epochs": 3)", R"("epochs" 3)", {"exp.json:8: ", "expected ':'", "found 3"}},
    {"cut off", "\"keep\": 3}\n}", "\"keep\": 3", {"exp.json:9: ", "found the end of the text"}},
    {"unterminated comment", "\"name\"", "/* \"name\"", {"exp.json:10: ", "comment"}},
    {"trailing text",
     "\"keep\": 3}\n}",
     "\"keep\": 3}\n}\n{}",
     {"exp.json:11: ", "end of the text", "found '{'"}},
    {"schema of the future", R"("schema": 1)", R"("schema": 2)", {"exp.json:2: schema: ", "found 2"}},
    {"name that is no folder's",
     R"("tiny")",
     R"("a/b")",
     {"exp.json:2: name: ", "expected the name of a folder", "found 'a/b'"}},
    {"unknown model",
     R"("type": "mlp")",
     R"("type": "mpl")",
     {"exp.json:4: model.type: ", "no model 'mpl'", "'mlp'"}},
    {"unknown data set",
     R"("type": "glyphs")",
     R"("type": "glyps")",
     {"exp.json:3: data.type: ", "no data set 'glyps'", "'glyphs'"}},
    {"unknown optimizer",
     R"("type": "sgd")",
     R"("type": "adanw")",
     {"exp.json:6: optimizer.type: ", "no optimizer 'adanw'", "'adamw'"}},
    {"unknown schedule",
     R"("type": "constant")",
     R"("type": "cosin")",
     {"exp.json:7: schedule.type: ", "no schedule 'cosin'", "'cosine'"}},
    {"unknown loss",
     R"("type": "cross_entropy")",
     R"("type": "crossentropy")",
     {"exp.json:5: loss.type: ", "no loss 'crossentropy'", "'cross_entropy'"}},
    {"unknown augmentation",
     R"("type": "flip")",
     R"("type": "flop")",
     {"exp.json:3: data.augment[0].type: ", "'flop'", "'flip'"}},
    {"a type that is no string",
     R"("type": "mlp")",
     R"("type": 5)",
     {"exp.json:4: model.type: ", "expected a string", "found an integer"}},
    {"no type", R"("type": "mlp", )", "", {"exp.json:4: model: ", "required key 'type' is missing"}},
    {"option outside its choices",
     R"("momentum": 0.9)",
     R"("groups": [{"kind": "wieght"}])",
     {"exp.json:6: optimizer.groups[0].kind: ", "found 'wieght'", "'weight'"}},
    {"group that matches nothing",
     R"("momentum": 0.9)",
     R"("groups": [{"match": "conv9.*"}])",
     {"exp.json:6: optimizer.groups[0]: ", "matches no parameter", "conv9.*"}},
    {"quant section",
     R"("train": {)",
     R"("quant": {}, "train": {)",
     {"exp.json:8: quant: ", "quantizers are not part of this version"}},
    {"regularizers section",
     R"("train": {)",
     R"("regularizers": [], "train": {)",
     {"exp.json:8: regularizers: ", "not part of this version"}},
    {"model and data of other classes",
     R"("classes": 10)",
     R"("classes": 7)",
     {"exp.json:4: model.classes: ", "the model has 7 classes", "glyphs has 10"}},
    {"model for other images",
     R"([32, 32, 3])",
     R"([28, 28, 1])",
     {"exp.json:4: model: ", "(32, 32, 3)", "(N, H, W, 1)"}},
    {"list of another length",
     R"([32, 32, 3])",
     R"([32, 32])",
     {"exp.json:4: model: ", "'input' has 2 numbers"}},
    {"device in an experiment of another world",
     R"("seed": 4,)",
     R"("seed": 4, "device": "tpu",)",
     {"exp.json:2: device: ", "expected auto, cpu or cuda:N", "found 'tpu'"}},
    {"batch larger than any memory",
     R"("batch": 32)",
     R"("batch": 4000000000000000000)",
     {"exp.json:3: data.batch: ", "at most", "found 4"}},
};

BadInput set(std::string name, const std::vector<std::string>& sets, std::vector<std::string> says) {
  std::vector<std::string> arguments = kTrain;
  for (const std::string& one : sets) arguments.insert(arguments.end(), {"--set", one});
  return {std::move(name), experiment(), std::move(arguments), 2, std::move(says)};
}

}  // namespace

std::vector<BadInput> bad_experiments() {
  std::vector<BadInput> rows;
  for (const Edit& edit : kEdits) {
    rows.push_back({edit.name, experiment(edit.from, edit.to), kTrain, 2, edit.says});
  }
  const std::vector<BadInput> others = {
      {"no experiment file", nothing(), kTrain, 5, {"exp.json: ", "No such file"}},
      {"experiment file that is a folder", file("exp.json/x", ""), kTrain, 5, {"exp.json: ", "directory"}},
      {"empty experiment file", file("exp.json", ""), kTrain, 2, {"exp.json:1: ", "end of the text"}},
      {"experiment file that is a list",
       file("exp.json", "[]"),
       kTrain,
       2,
       {"exp.json:1: ", "found an array"}},
      {"experiment file of bytes", file("exp.json", "{\"a\": \"\xff\"}"), kTrain, 2, {"exp.json:1: "}},
      {"data section that is absent",
       all({trained(), file("data.json", "{}")}),
       {"eval", "run", "--data", "data.json"},
       2,
       {"data.json:1: ", "required key 'data' is missing"}},
      {"model beyond memory",
       experiment("\"hidden\": [4]", "\"hidden\": [400000000000]"),
       kTrain,
       8,
       {"out of memory"}},
      set("--set without =", {"train.epochs"}, {"--set train.epochs: ", "expected PATH=VALUE"}),
      set("--set of an unknown section", {"trian.epochs=1"}, {"unknown key 'trian'", "'train'"}),
      set("--set of an unknown key", {"train.epoch=1"}, {"train: ", "unknown key 'epoch'", "'epochs'"}),
      set("--set of another type", {"train.epochs=two"}, {"train.epochs: ", "an integer", "found a string"}),
      set("--set beyond a list", {"data.augment[1].type=flip"}, {"'data.augment' has 1 items"}),
      set("--set into a number", {"train.epochs.x=1"}, {"'train.epochs' is an integer and has no parts"}),
      set("--set with an open bracket", {"data.augment[0=1"}, {"a '[' is not closed"}),
      set("--set with no path", {"=1"}, {"--set =1: ", "empty part"}),
  };
  rows.insert(rows.end(), others.begin(), others.end());
  return rows;
}

}  // namespace lathe::tests
