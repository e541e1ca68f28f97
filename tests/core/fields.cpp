#include "core/fields.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/json.h"
#include "core/registry.h"

using lathe::FieldPath;
using lathe::FieldVisitor;
using lathe::parse_json;
using lathe::to_json;
using lathe::Value;

namespace {

struct Options {
  bool flag = true;
  int64_t count = 3;
  double rate = 0.5;
  std::string mode = "fast";
  std::optional<double> clip;
  std::optional<int64_t> limit = 7;
  std::vector<int64_t> steps = {1, 2};
  std::vector<double> betas = {0.9, 0.999};
  std::vector<std::string> names;
  Value nested;

  void fields(FieldVisitor& v) {
    v.visit("flag", flag, {.doc = "a switch"});
    v.visit("count", count, {.doc = "how many", .min = 1, .max = 10});
    v.visit("rate", rate, {.doc = "d", .min = 0, .max = 1, .above_min = true, .below_max = true});
    v.visit("mode", mode, {.doc = "d", .choices = {"fast", "slow"}});
    v.visit("clip", clip, {.doc = "d", .min = 0, .above_min = true});
    v.visit("limit", limit, {.doc = "d", .min = 1});
    v.visit("steps", steps, {.doc = "d", .min = 0});
    v.visit("betas", betas, {.doc = "d", .max = 1});
    v.visit("names", names, {});
    v.visit("nested", nested, {});
  }
};

struct Root {
  std::string root;
  void fields(FieldVisitor& v) { v.visit("root", root, {.doc = "a folder", .required = true}); }
};

template <class T>
T read(const std::string& text) {
  T options;
  lathe::read_fields(options, parse_json(text, "exp.json"), FieldPath{"exp.json", "section"}, {"type"});
  return options;
}

template <class T>
std::string error_of(const std::string& text) {
  try {
    read<T>(text);
  } catch (const lathe::ConfigError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_SUITE_BEGIN("core");

TEST_CASE("fields: what is given replaces the default, the rest stays") {
  const Options none = read<Options>("{\"type\": \"x\"}");
  CHECK(none.count == 3);
  CHECK(none.limit == 7);
  CHECK_FALSE(none.clip.has_value());
  const Options some = read<Options>(
      R"({"flag": false, "count": 10, "rate": 0.25, "mode": "slow", "clip": 5, "limit": null, "steps": [],
          "betas": [0, 1], "names": ["a"], "nested": {"b": 1}})");
  CHECK_FALSE(some.flag);
  CHECK(some.count == 10);
  CHECK(some.rate == 0.25);
  CHECK(some.mode == "slow");
  CHECK(some.clip == 5.0);
  CHECK_FALSE(some.limit.has_value());
  CHECK(some.steps.empty());
  CHECK(some.betas == std::vector<double>{0, 1});
  CHECK(some.names == std::vector<std::string>{"a"});
  CHECK(some.nested.find("b")->as_int() == 1);
}

TEST_CASE("fields: errors name file, line, path, found and expected") {
  struct Row {
    const char* text;
    const char* message;
  };
  const Row rows[] = {
      {"{\"cuont\": 1}", "exp.json:1: section: unknown key 'cuont', did you mean 'count'?"},
      {"{\n\"weight\": 1}",
       "exp.json:2: section: unknown key 'weight'; known keys: flag, count, rate, mode, clip, limit, steps, "
       "betas, names, nested, type"},
      {"{\"flag\": 1}", "exp.json:1: section.flag: expected a boolean, found the integer 1"},
      {"{\"count\": 1.0}", "exp.json:1: section.count: expected an integer, found the real number 1.0"},
      {"{\"count\": \"1\"}", "exp.json:1: section.count: expected an integer, found the string \"1\""},
      {"{\n\n\"count\": 0}",
       "exp.json:3: section.count: expected an integer at least 1 and at most 10, found 0"},
      {"{\"count\": 11}",
       "exp.json:1: section.count: expected an integer at least 1 and at most 10, found 11"},
      {"{\"rate\": 0}", "exp.json:1: section.rate: expected a number above 0 and below 1, found 0"},
      {"{\"rate\": 1}", "exp.json:1: section.rate: expected a number above 0 and below 1, found 1"},
      {"{\"rate\": null}", "exp.json:1: section.rate: expected a number, found null"},
      {"{\"mode\": \"medium\"}", "exp.json:1: section.mode: expected one of 'fast', 'slow', found 'medium'"},
      {"{\"clip\": 0}", "exp.json:1: section.clip: expected a number above 0, found 0"},
      {"{\"clip\": true}", "exp.json:1: section.clip: expected a number, found the boolean true"},
      {"{\"limit\": 0.5}", "exp.json:1: section.limit: expected an integer, found the real number 0.5"},
      {"{\"steps\": 1}", "exp.json:1: section.steps: expected an array, found the integer 1"},
      {"{\"steps\": [1,\n-1]}", "exp.json:2: section.steps[1]: expected an integer at least 0, found -1"},
      {"{\"betas\": [0.9, null]}", "exp.json:1: section.betas[1]: expected a number, found null"},
      {"{\"names\": [1]}", "exp.json:1: section.names[0]: expected a string, found the integer 1"},
      {"[]", "exp.json:1: section: expected an object, found an array"},
  };
  for (const Row& row : rows) CHECK(error_of<Options>(row.text) == row.message);
  CHECK(error_of<Root>("{}") == "exp.json:1: section: required key 'root' is missing");
  CHECK(error_of<Root>("{\"rooot\": \"x\"}") ==
        "exp.json:1: section: unknown key 'rooot', did you mean 'root'?");
}

TEST_CASE("fields: errors show what was found, long strings cut between code points") {
  const std::string begin = "exp.json:1: section.rate: expected a number, found ";
  CHECK(error_of<Options>(R"({"rate": "NaN"})") == begin + R"(the string "NaN")");
  CHECK(error_of<Options>(R"({"rate": "a\nb"})") == begin + R"(the string "a\nb")");
  CHECK(error_of<Options>(R"({"rate": ")" + std::string(40, 'x') + "\"}") ==
        begin + "the string \"" + std::string(40, 'x') + '"');
  CHECK(error_of<Options>(R"({"rate": ")" + std::string(39, 'x') + "éé\"}") ==
        begin + "the string \"" + std::string(39, 'x') + "...\"");
  CHECK(error_of<Options>(R"({"rate": {"a": 1}})") == begin + "an object");
}

TEST_CASE("fields: written options read back the same") {
  Options options;
  options.count = 4;
  options.clip = 0.1;
  options.names = {"a", "b"};
  const Value written = lathe::write_fields(options);
  CHECK(to_json(written) ==
        R"({"flag":true,"count":4,"rate":0.5,"mode":"fast","clip":0.1,"limit":7,"steps":[1,2],)"
        R"("betas":[0.9,0.999],"names":["a","b"],"nested":null})");
  CHECK(lathe::write_fields(read<Options>(to_json(written))) == written);
}

TEST_CASE("fields: schema") {
  const Value schema = lathe::fields_schema<Options>();
  const Value& p = *schema.find("properties");
  CHECK(to_json(*p.find("flag")) == R"({"type":"boolean","description":"a switch","default":true})");
  CHECK(to_json(*p.find("count")) ==
        R"({"type":"integer","minimum":1,"maximum":10,"description":"how many","default":3})");
  CHECK(to_json(*p.find("rate")) ==
        R"({"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1,"description":"d","default":0.5})");
  CHECK(to_json(*p.find("mode")) ==
        R"({"type":"string","enum":["fast","slow"],"description":"d","default":"fast"})");
  CHECK(to_json(*p.find("clip")) ==
        R"({"type":["number","null"],"exclusiveMinimum":0,"description":"d","default":null})");
  CHECK(to_json(*p.find("steps")) ==
        R"({"type":"array","items":{"type":"integer","minimum":0},"description":"d","default":[1,2]})");
  CHECK(schema.find("required") == nullptr);
  CHECK_FALSE(schema.find("additionalProperties")->as_bool());
  CHECK(to_json(lathe::fields_schema<Root>()) ==
        R"({"type":"object","properties":{"root":{"type":"string","description":"a folder"}},)"
        R"("required":["root"],"additionalProperties":false})");
}

TEST_CASE("fields: nearest name") {
  const std::vector<std::string> names = {"lr", "weight_decay", "momentum", "betas", "eps"};
  CHECK(lathe::nearest("momentun", names) == "momentum");
  CHECK(lathe::nearest("weight-decay", names) == "weight_decay");
  CHECK(lathe::nearest("bteas", names) == "betas");
  CHECK(lathe::nearest("LR", names) == "lr");
  CHECK(lathe::nearest("schedule", names).empty());
  CHECK(lathe::nearest("zz", names).empty());
  CHECK(lathe::nearest("", names).empty());
  CHECK(lathe::nearest("lr", {}).empty());
}

TEST_CASE("registry: builds, resolves and suggests") {
  using Table = lathe::Registry<double, int>;
  const Table table("optimizer",
                    {lathe::make_entry<double, int>("sgd", "plain", Options{},
                                                    [](const Options& o, int k) { return o.rate * k; }),
                     lathe::make_entry<double, int>(
                         "root", "named", Root{}, [](const Root& o, int) { return double(o.root.size()); })});
  const FieldPath where{"e.json", "optimizer"};
  CHECK(table.build(parse_json(R"({"type": "sgd", "rate": 0.25})", "t"), where, 4) == 1.0);
  CHECK(table.build(parse_json(R"({"type": "root", "root": "abc"})", "t"), where, 4) == 3.0);
  const Value resolved = table.resolve(parse_json(R"({"type": "root", "root": "abc"})", "t"), where);
  CHECK(to_json(resolved) == R"({"type":"root","root":"abc"})");
  const auto build = [&](const char* text) { table.build(parse_json(text, "t"), where, 1); };
  CHECK_THROWS_WITH_AS(build(R"({"type": "sgdd"})"),
                       "e.json:1: optimizer.type: there is no optimizer 'sgdd', did you mean 'sgd'?",
                       lathe::ConfigError);
  CHECK_THROWS_WITH_AS(build("{}"), "e.json:1: optimizer: required key 'type' is missing",
                       lathe::ConfigError);
  CHECK_THROWS_WITH_AS(build("3"),
                       "e.json:1: optimizer: expected an object with a \"type\", found the integer 3",
                       lathe::ConfigError);
  CHECK_THROWS_WITH_AS(build(R"({"type": 1})"),
                       "e.json:1: optimizer.type: expected a string, found the integer 1",
                       lathe::ConfigError);
}

TEST_SUITE_END();
