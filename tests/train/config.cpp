#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "tests/support/scratch.h"
#include "train/config/experiment.h"
#include "train/config/identity.h"
#include "train/config/overrides.h"

using lathe::Experiment;
using lathe::parse_experiment;
using lathe::parse_json;
using lathe::to_json;
using lathe::Value;

namespace {

using Sets = std::vector<std::string>;

// Line numbers matter: the tests below name them.
const char* const kFile = R"({
  // a small run
  "schema": 1, "name": "small", "seed": 7,
  "data": {"type": "glyphs", "train": 100, "test": 50, "batch": 10, "eval_limit": 20},
  "model": {"type": "mlp"},
  "optimizer": {"type": "adamw", "lr": 1e-3,
                "groups": [{"kind": "bias", "weight_decay": 0},
                           {"match": "*", "type": "sgd", "lr": 0.1}]},
  "schedule": {"type": "cosine", "warmup_epochs": 1},
  "train": {"epochs": 3, "clip_norm": null}
}
)";

std::string replaced(const std::string& from, const std::string& to) {
  std::string text = kFile;
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string error_of(const std::string& text, const Sets& sets = {}) {
  try {
    parse_experiment(text, "exp.json", sets);
  } catch (const lathe::ConfigError& error) {
    return error.what();
  }
  return "no error";
}

Value resolved(const Sets& sets = {}) {
  return lathe::resolve_experiment(parse_experiment(kFile, "exp.json", sets));
}

const Value& at(const Value& value, std::initializer_list<const char*> path) {
  const Value* place = &value;
  for (const char* key : path) {
    place = place->find(key);
    REQUIRE(place != nullptr);
  }
  return *place;
}

}  // namespace

TEST_SUITE_BEGIN("train");

TEST_CASE("config: a file is read into types") {
  const Experiment e = parse_experiment(kFile, "exp.json");
  CHECK(e.name == "small");
  CHECK(e.seed == 7);
  CHECK(e.device == "auto");
  CHECK_FALSE(e.threads.has_value());
  CHECK(e.train.epochs == 3);
  CHECK_FALSE(e.train.clip_norm.has_value());
  CHECK_FALSE(e.train.ema.has_value());
  CHECK(e.output.keep == 2);
  CHECK(e.data_common.batch == 10);
  CHECK(e.data_common.eval_limit == 20);
  CHECK_FALSE(e.data_common.limit.has_value());
  CHECK(e.data.line() == 4);
  CHECK(to_json(e.loss) == R"({"type":"cross_entropy"})");
}

TEST_CASE("config: errors name the line, the path and what is near") {
  struct Row {
    const char* from;
    const char* to;
    const char* message;
  };
  const Row rows[] = {
      {"\"schema\": 1", "\"schema\": 2",
       "exp.json:3: schema: expected an integer at least 1 and at most 1, found 2"},
      {"\"schema\": 1, ", "", "exp.json:1: required key 'schema' is missing"},
      {", \"seed\": 7", "", "exp.json:1: required key 'seed' is missing"},
      {"\"seed\": 7", "\"seed\": -1", "exp.json:3: seed: expected an integer at least 0, found -1"},
      {"\"seed\": 7", "\"seed\": 7, \"seed\": 8", "exp.json:3: key 'seed' appears twice, first on line 3"},
      {"\"model\":", "\"modle\":", "exp.json:5: unknown key 'modle', did you mean 'model'?"},
      {"\"name\": \"small\"", "\"name\": \"a/b\"",
       "exp.json:3: name: expected the name of a folder, found 'a/b'"},
      {"\"seed\": 7", "\"seed\": 7, \"device\": \"gpu\"", "exp.json:3: device: "},
      {"\"seed\": 7", "\"seed\": 7, \"threads\": 0",
       "exp.json:3: threads: expected an integer at least 1 and at most 1024, found 0"},
      {"\"glyphs\"", "\"glyph\"",
       "exp.json:4: data.type: there is no data set 'glyph', did you mean 'glyphs'?"},
      {"\"batch\": 10", "\"bacth\": 10", "exp.json:4: data: unknown key 'bacth', did you mean 'batch'?"},
      {"\"batch\": 10", "\"batch\": 0",
       "exp.json:4: data.batch: expected an integer at least 1 and at most 10000000, found 0"},
      {"\"mlp\"", "\"mlp\", \"clases\": 10",
       "exp.json:5: model: unknown key 'clases', did you mean 'classes'?"},
      {"\"lr\": 1e-3", "\"lr\": \"fast\"",
       "exp.json:6: optimizer.lr: expected a number, found the string \"fast\""},
      {"\"weight_decay\": 0", "\"weight-decay\": 0",
       "exp.json:7: optimizer.groups[0]: unknown key 'weight-decay', did you mean 'weight_decay'?"},
      {"\"type\": \"sgd\"", "\"type\": \"sgdd\"",
       "exp.json:8: optimizer.groups[1].type: there is no optimizer 'sgdd', did you mean 'sgd'?"},
      {"\"warmup_epochs\"", "\"warmup\"", "exp.json:9: schedule: unknown key 'warmup'"},
      {"\"clip_norm\": null", "\"clip_norm\": 0",
       "exp.json:10: train.clip_norm: expected a number above 0, found 0"},
      {"\"clip_norm\": null", "\"ema\": 1", "exp.json:10: train.ema: expected a number above 0 and below 1"},
      {"\"epochs\": 3, ", "", "exp.json:10: train: required key 'epochs' is missing"},
      {"\"schema\": 1", "\"quant\": {}, \"schema\": 1",
       "exp.json:3: quant.rules: expected at least one rule"},
      {"\"schema\": 1", "\"quant\": {\"rules\": [{\"type\": \"lsqq\"}]}, \"schema\": 1",
       "exp.json:3: quant.rules[0].type: there is no quantizer 'lsqq', did you mean 'lsq'?"},
      {"\"schema\": 1", "\"quant\": {\"rules\": [{\"type\": \"lsq\", \"bit\": 3}]}, \"schema\": 1",
       "exp.json:3: quant.rules[0]: unknown key 'bit', did you mean 'bits'?"},
      {"\"schema\": 1", "\"quant\": {\"rules\": [{\"type\": \"lsq\", \"bits\": 1}]}, \"schema\": 1",
       "exp.json:3: quant.rules[0].bits: expected an integer at least 2 and at most 15, found 1"},
      {"\"schema\": 1", "\"regularizers\": {}, \"schema\": 1",
       "exp.json:3: regularizers: expected a list, found an object"},
      {"\"schema\": 1", "\"output\": null, \"schema\": 1",
       "exp.json:3: output: expected an object, found null"},
      {"\"schema\": 1", "\"output\": {\"keep\": 0}, \"schema\": 1",
       "exp.json:3: output.keep: expected an integer at least 1, found 0"},
      {"\"epochs\": 3,", "\"epochs\": 3", "exp.json:10: expected ',' or '}', found \"clip_norm\""},
  };
  for (const Row& row : rows) {
    const std::string message = error_of(replaced(row.from, row.to));
    CAPTURE(message);
    CHECK_MESSAGE(message.compare(0, std::string(row.message).size(), row.message) == 0, row.message);
  }
  CHECK(error_of("[]") == "exp.json:1: expected an object, found an array");
}

TEST_CASE("config: a name with control characters is refused, and shown without them") {
  const std::string begin = "name: expected the name of a folder without control characters, found ";
  CHECK(error_of(replaced(R"("small")", R"("a\u001b[2Jb")")) == "exp.json:3: " + begin + R"("a\u001b[2Jb")");
  CHECK(error_of(kFile, {"name=a\nb"}) == "exp.json: " + begin + R"("a\nb")");
  CHECK(error_of(kFile, {"name=\x7F"}) == "exp.json: " + begin + R"("\u007f")");
}

TEST_CASE("config: the resolved experiment has every default and reads back the same") {
  const Value all = resolved();
  CHECK(at(all, {"schema"}).as_int() == 1);
  CHECK(at(all, {"loss", "label_smoothing"}).as_real() == 0.0);
  CHECK(at(all, {"output", "keep"}).as_int() == 2);
  CHECK(at(all, {"train", "ema"}).is(Value::Type::Null));
  CHECK(at(all, {"model", "type"}).as_string() == "mlp");
  CHECK(at(all, {"model", "classes"}).as_int() == 10);
  CHECK(at(all, {"data", "limit"}).is(Value::Type::Null));
  CHECK(at(all, {"optimizer", "groups"}).items().size() == 2);
  const std::string text = to_json(all, 2);
  const Value again = lathe::resolve_experiment(parse_experiment(text, "resolved.json"));
  CHECK(to_json(again, 2) == text);
}

TEST_CASE("config: --set changes values before the file is checked") {
  const Experiment e = parse_experiment(
      kFile, "exp.json",
      {"train.epochs=5", "optimizer.lr=0.5", "optimizer.groups[1].lr=2",
       "optimizer.groups.0.weight_decay=0.25", "name=other", "train.clip_norm=5", "output.keep=1",
       "schedule={\"type\": \"constant\"}", "model.type=\"lenet\"", "train.epochs=6", "threads=2"});
  CHECK(e.train.epochs == 6);
  CHECK(e.train.clip_norm == 5.0);
  CHECK(e.name == "other");
  CHECK(e.output.keep == 1);
  CHECK(e.threads == 2);
  CHECK(at(e.optimizer, {"lr"}).as_real() == 0.5);
  CHECK(at(e.optimizer, {"groups"}).items()[1].find("lr")->as_int() == 2);
  CHECK(at(e.optimizer, {"groups"}).items()[0].find("weight_decay")->as_real() == 0.25);
  CHECK(at(e.schedule, {"type"}).as_string() == "constant");
  CHECK(at(e.model, {"type"}).as_string() == "lenet");
}

TEST_CASE("config: --set reaches keys that the file leaves to their defaults") {
  const Value all =
      resolved({"loss.label_smoothing=0.1", "optimizer.eps=1e-6", "output.checkpoint_epochs=9"});
  CHECK(at(all, {"loss", "label_smoothing"}).as_real() == 0.1);
  CHECK(at(all, {"optimizer", "eps"}).as_real() == 1e-6);
  CHECK(at(all, {"output", "checkpoint_epochs"}).as_int() == 9);
  std::string text = kFile;
  text.erase(text.find("  \"schedule\""), text.find("  \"train\": {") - text.find("  \"schedule\""));
  const Experiment e = parse_experiment(text, "exp.json", {"schedule.warmup_epochs=2"});
  CHECK(to_json(e.schedule) == R"({"type":"constant","warmup_epochs":2})");
}

TEST_CASE("config: --set that means nothing is refused") {
  struct Row {
    const char* set;
    const char* message;
  };
  const Row rows[] = {
      {"train.epochs", "--set train.epochs: expected PATH=VALUE"},
      {"=1", "--set =1: the path has an empty part"},
      {"train..epochs=1", "--set train..epochs=1: the path has an empty part"},
      {"train.=1", "--set train.=1: the path has an empty part"},
      {"optimizer.groups[0=1", "--set optimizer.groups[0=1: a '[' is not closed"},
      {"optimizer.groups[]=1", "--set optimizer.groups[]=1: the path has an empty part"},
      {"optimizer.groups[0]lr=1", "--set optimizer.groups[0]lr=1: expected '.' or '[' after ']'"},
      {"optimizer.groups[2].lr=1",
       "--set optimizer.groups[2].lr=1: 'optimizer.groups' has 2 items, counted from 0"},
      {"optimizer.groups[-1].lr=1",
       "--set optimizer.groups[-1].lr=1: 'optimizer.groups' is a list, '-1' is no index"},
      {"optimizer.groups.lr=1",
       "--set optimizer.groups.lr=1: 'optimizer.groups' is a list, 'lr' is no index"},
      {"seed.x=1", "--set seed.x=1: 'seed' is an integer and has no parts"},
      {"trian.epochs=1", "exp.json: unknown key 'trian', did you mean 'train'?"},
      {"train.epoch=1", "exp.json: train: unknown key 'epoch', did you mean 'epochs'?"},
      {"optimizer.momentun=1", "exp.json: optimizer: unknown key 'momentun'"},
      {"train.epochs=many", "exp.json: train.epochs: expected an integer, found the string \"many\""},
      {"train.epochs=1.5", "exp.json: train.epochs: expected an integer, found the real number 1.5"},
      {"name=1", "exp.json: name: expected a string, found the integer 1"},
      {"train={\"epochs\": \"3\"}", "exp.json: train.epochs: expected an integer, found the string \"3\""},
      {"optimizer.groups=[{\"lr\": true}]",
       "exp.json: optimizer.groups[0].lr: expected a number, found the boolean true"},
      {"quant={\"rules\": [{\"type\": \"lsqq\"}]}",
       "exp.json: quant.rules[0].type: there is no quantizer 'lsqq', did you mean 'lsq'?"},
      {"data.limit=0", "exp.json: data.limit: expected an integer at least 1, found 0"},
  };
  for (const Row& row : rows) {
    const std::string message = error_of(kFile, {row.set});
    CAPTURE(message);
    CHECK_MESSAGE(message.compare(0, std::string(row.message).size(), row.message) == 0, row.message);
  }
}

TEST_CASE("config: files") {
  const lathe::tests::ScratchFolder scratch;
  const auto path = scratch / "exp.json";
  lathe::write_atomic(path, std::string_view(kFile));
  CHECK(lathe::load_experiment(path, {"seed=9"}).seed == 9);
  CHECK_THROWS_AS(lathe::load_experiment(scratch / "none.json"), lathe::IoError);
  const lathe::DataSection section = lathe::load_data_section(path, {"data.batch=3"});
  CHECK(at(section.data, {"batch"}).as_int() == 3);
  CHECK(section.where.path == "data");
  const lathe::DataSection named = lathe::named_data_section("glyphs", {"data.seed=7"});
  CHECK(lathe::to_json(named.data) == R"({"type":"glyphs","seed":7})");
  const auto refused = "--set datas.seed=7: only \"data\" is read here, expected data.KEY=VALUE";
  CHECK_THROWS_WITH_AS(lathe::named_data_section("glyphs", {"datas.seed=7"}), refused, lathe::ConfigError);
  CHECK_THROWS_WITH_AS(lathe::load_data_section(path, {"datas.seed=7"}), refused, lathe::ConfigError);
  lathe::write_atomic(path, std::string_view("{\n\"model\": {}}"));
  CHECK_THROWS_WITH_AS(lathe::load_data_section(path),
                       (path.string() + ":1: required key 'data' is missing").c_str(), lathe::ConfigError);
}

TEST_CASE("config: schema lists every section and every registry entry") {
  const Value schema = lathe::experiment_schema();
  const Value& properties = at(schema, {"properties"});
  const Value all = resolved();
  for (const auto& [key, value] : all.members()) {
    CAPTURE(key);
    CHECK(properties.find(key) != nullptr);
  }
  CHECK(to_json(at(schema, {"required"})) ==
        R"(["schema","name","seed","data","model","optimizer","train"])");
  CHECK_FALSE(at(schema, {"additionalProperties"}).as_bool());
  for (const char* section : {"data", "model", "loss", "optimizer", "schedule"}) {
    const Value& choices = at(properties, {section, "oneOf"});
    const std::string type = at(all, {section, "type"}).as_string();
    const Value* mine = nullptr;
    for (const Value& choice : choices.items()) {
      if (at(choice, {"properties", "type", "const"}).as_string() == type) mine = &choice;
    }
    CAPTURE(section);
    REQUIRE(mine != nullptr);
    CHECK(at(*mine, {"required"}).items()[0].as_string() == "type");
    for (const auto& [key, value] : at(all, {section}).members()) {
      CAPTURE(key);
      CHECK(at(*mine, {"properties"}).find(key) != nullptr);
    }
  }
  CHECK(to_json(at(properties, {"schedule", "default"})) == R"({"type":"constant"})");
  CHECK(at(properties, {"train", "properties", "epochs", "type"}).as_string() == "integer");
}

TEST_CASE("config: identity ignores what does not change a step") {
  const Value before = resolved();
  const std::string hash = lathe::experiment_hash(before);
  CHECK(hash.size() == 16);
  const Value same = resolved({"name=x", "threads=3", "device=cpu", "output.keep=9"});
  CHECK(lathe::experiment_hash(same) == hash);
  CHECK_NOTHROW(lathe::check_same_experiment(before, same, "runs/small"));
  CHECK(lathe::experiment_hash(parse_json(to_json(before, 2), "resolved.json")) == hash);

  Value shuffled = Value::object();
  for (size_t i = before.members().size(); i-- > 0;) {
    shuffled.set(before.members()[i].first, before.members()[i].second);
  }
  CHECK(lathe::experiment_hash(shuffled) == hash);
}

TEST_CASE("config: a changed experiment is named key by key") {
  const Value before = resolved();
  for (const char* set :
       {"seed=8", "train.epochs=4", "data.batch=11", "schedule.warmup_epochs=2", "data.eval_limit=30",
        "optimizer.groups[1].lr=0.2", "loss.label_smoothing=0.5", "train.ema=0.9"}) {
    CAPTURE(std::string(set));
    CHECK(lathe::experiment_hash(resolved({set})) != lathe::experiment_hash(before));
    CHECK(lathe::changed_keys(before, resolved({set})).size() == 1);
  }
  CHECK_THROWS_WITH_AS(
      lathe::check_same_experiment(before, resolved({"train.epochs=4", "optimizer.groups[1].lr=0.2"}),
                                   "runs/small"),
      "runs/small: the run was begun with another experiment: optimizer.groups[1].lr: 0.1 before, 0.2 now; "
      "train.epochs: 3 before, 4 now",
      lathe::ConfigError);
  const Value other = resolved({"model={\"type\": \"lenet\"}"});
  CHECK(lathe::changed_keys(before, other).size() > 1);
}

TEST_SUITE_END();
