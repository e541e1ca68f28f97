#include "core/json.h"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "core/error.h"

using lathe::parse_json;
using lathe::to_json;
using lathe::Value;

namespace {

std::string error_of(const std::string& text, const lathe::JsonOptions& options = {}) {
  try {
    parse_json(text, "exp.json", options);
  } catch (const lathe::ConfigError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_SUITE_BEGIN("core");

TEST_CASE("json: types and order of keys") {
  const Value v = parse_json(R"({"z": 1, "a": [true, null, -2.5, "x\u00e9\n"], "m": {}})", "t");
  REQUIRE(v.members().size() == 3);
  CHECK(v.members()[0].first == "z");
  CHECK(v.members()[1].first == "a");
  CHECK(v.find("z")->as_int() == 1);
  CHECK(v.find("z")->as_real() == 1.0);
  const auto& items = v.find("a")->items();
  CHECK(items[0].as_bool());
  CHECK(items[1].is(Value::Type::Null));
  CHECK(items[2].as_real() == -2.5);
  CHECK(items[3].as_string() == "x\xC3\xA9\n");
  CHECK(v.find("m")->members().empty());
  CHECK(v.find("none") == nullptr);
}

TEST_CASE("json: a number is an integer when it fits 64 bits") {
  CHECK(parse_json("9223372036854775807", "t").as_int() == INT64_MAX);
  CHECK(parse_json("-9223372036854775808", "t").as_int() == INT64_MIN);
  CHECK(parse_json("9223372036854775808", "t").is(Value::Type::Real));
  CHECK(parse_json("1.0", "t").is(Value::Type::Real));
  CHECK(parse_json("1e3", "t").is(Value::Type::Real));
  CHECK_THROWS_WITH_AS(parse_json("1.5", "t").as_int(), "expected an integer, found a real number",
                       lathe::ConfigError);
}

TEST_CASE("json: every value knows its line") {
  const Value v =
      parse_json("{\n \"a\": 1,\n \"b\":\n  2\n,\"c\": [\n3,\n\n4],\n\"d\": {\"e\"\n:\ntrue}}", "t");
  CHECK(v.line() == 1);
  CHECK(v.find("a")->line() == 2);
  CHECK(v.find("b")->line() == 4);  // a number is read up to the newline after it
  CHECK(v.find("c")->line() == 5);
  CHECK(v.find("c")->items()[0].line() == 6);
  CHECK(v.find("c")->items()[1].line() == 8);
  CHECK(v.find("d")->find("e")->line() == 11);
}

TEST_CASE("json: comments only where they are allowed") {
  const std::string text = "// first\n{\"a\": /* here\n */ 1}\n";
  const Value v = parse_json(text, "t", {.comments = true});
  CHECK(v.find("a")->as_int() == 1);
  CHECK(v.find("a")->line() == 3);
  CHECK(error_of(text) == "exp.json:1: comments are not allowed here");
}

TEST_CASE("json: syntax errors name line, found and expected") {
  struct Row {
    const char* text;
    const char* message;
  };
  const Row rows[] = {
      {"", "exp.json:1: expected a value, found the end of the text"},
      {"{\n\"a\": 1\n", "exp.json:2: expected ',' or '}', found the end of the text"},
      {"{\n\"a\": 1\n\"b\": 2}", "exp.json:3: expected ',' or '}', found \"b\""},
      {"{\"a\" 1}", "exp.json:1: expected ':' after key 'a', found 1"},
      {"{\"a\": 1,\n}", "exp.json:2: expected a key in double quotes, found '}'"},
      {"{abc: 1}", "exp.json:1: expected a key in double quotes or '}', found abc"},
      {"[1, nul]", "exp.json:1: expected a value, found nul"},
      {"[NaN]", "exp.json:1: expected a value, found NaN"},
      {"{\"a\": 'x'}", "exp.json:1: expected a value, found '"},
      {"{\"a\": tru", "exp.json:1: expected a value, found tru"},
      {"[1] x", "exp.json:1: expected the end of the text, found x"},
      {"[1 nul]", "exp.json:1: expected ',' or ']', found nul"},
      {"{\"a\": 1 / 2}", "exp.json:1: comments are not allowed here"},
      {"[\"abc", "exp.json:1: invalid string: missing closing quote, found \"abc"},
      {"[true false]", "exp.json:1: expected ',' or ']', found false"},
      {"{1: 1}", "exp.json:1: expected a key in double quotes or '}', found 1"},
      {"[1, 2", "exp.json:1: expected ',' or ']', found the end of the text"},
      {"[1,, 2]", "exp.json:1: expected a value, found ','"},
      {"[1] \n\n 2", "exp.json:3: expected the end of the text, found 2"},
      {"{\"a\": }", "exp.json:1: expected a value, found '}'"},
      {"[1e999]", "exp.json:1: number 1e999 is out of range"},
      {"[\n-]", "exp.json:2: invalid number; expected digit after '-', found -]"},
      {"[\"abc\n\"]", "exp.json:1: invalid string: control character U+000A (LF) must be escaped"},
      {"[\"\\q\"]", "exp.json:1: invalid string: forbidden character after backslash"},
      {"[\"\xFF\"]", "exp.json:1: invalid string: ill-formed UTF-8 byte"},
      {"[\"\\ud800\"]", "exp.json:1: invalid string: surrogate"},
  };
  for (const Row& row : rows) {
    const std::string message = error_of(row.text);
    CAPTURE(std::string(row.text));
    CAPTURE(message);
    CHECK(message.compare(0, std::string(row.message).size(), row.message) == 0);
    CHECK(message.find("json.exception") == std::string::npos);
    CHECK(message.find("last read") == std::string::npos);
  }
}

TEST_CASE("json: duplicate keys name both lines, at each level") {
  CHECK(error_of("{\"a\": 1,\n\"b\": 2,\n\"a\": 3}") == "exp.json:3: key 'a' appears twice, first on line 1");
  CHECK(error_of("[{\"x\": {\n\"y\": 1, \"y\": 1}}]") ==
        "exp.json:2: key 'y' appears twice, first on line 2");
  CHECK(error_of("{\"a\": {\"a\": 1}, \"b\": {\"a\": 1}}") == "no error");
  CHECK(error_of("{\"a\": 1, \"\\u0061\": 1}") == "exp.json:1: key 'a' appears twice, first on line 1");
}

TEST_CASE("json: depth is limited") {
  CHECK(error_of(std::string(64, '[') + std::string(64, ']')) == "no error");
  CHECK(error_of(std::string(65, '[') + std::string(65, ']')) == "exp.json:1: nested deeper than 64 levels");
  CHECK(error_of(std::string(1'000'000, '[')) == "exp.json:1: nested deeper than 64 levels");
  CHECK(error_of("[[1]]", {.max_depth = 1}) == "exp.json:1: nested deeper than 1 levels");
}

TEST_CASE("json: reals read back with the same bits") {
  const double values[] = {0.1,  -0.0, 1.0 / 3, 5e-324,       std::numeric_limits<double>::max(),
                           1e22, 1.0,  1e-310,  123456789.125};
  for (const double value : values) {
    const Value back = parse_json(to_json(Value::real(value)), "t");
    CAPTURE(to_json(Value::real(value)));
    CHECK(back.is(Value::Type::Real));
    CHECK(back.as_real() == value);
    CHECK(std::signbit(back.as_real()) == std::signbit(value));
  }
  CHECK(to_json(Value::real(0.1)) == "0.1");
  CHECK(to_json(Value::real(1)) == "1.0");
  CHECK(to_json(Value::real(NAN)) == "null");
  CHECK(to_json(Value::real(-INFINITY)) == "null");
}

TEST_CASE("json: writing") {
  const Value v = parse_json(R"({"b": [1, 2.0, "x"], "a": {"q": [{"r": false}], "e": []}, "n": {}})", "t");
  CHECK(to_json(v) == R"({"b":[1,2.0,"x"],"a":{"q":[{"r":false}],"e":[]},"n":{}})");
  CHECK(to_json(v, 2) ==
        "{\n  \"b\": [1, 2.0, \"x\"],\n  \"a\": {\n    \"q\": [\n      {\n        \"r\": false\n      }\n    "
        "],\n    \"e\": []\n  },\n  \"n\": {}\n}");
  CHECK(parse_json(to_json(v, 2), "t") == v);
  CHECK(to_json(Value::string("\"\\\n\t\x01\x7F/\xE2\x82\xAC")) ==
        "\"\\\"\\\\\\n\\t\\u0001\\u007f/\xE2\x82\xAC\"");
  CHECK(to_json(Value::string("a\xFF\xC3z")) == "\"a\xEF\xBF\xBD\xEF\xBF\xBDz\"");
}

TEST_CASE("value: equality ignores lines and the order of keys, not types") {
  CHECK(parse_json("{\"a\":1,\n\"b\":2}", "t") == parse_json("{\"b\":2,\"a\":1}", "t"));
  CHECK_FALSE(parse_json("[1]", "t") == parse_json("[1.0]", "t"));
  CHECK_FALSE(parse_json("[1,2]", "t") == parse_json("[2,1]", "t"));
  CHECK_FALSE(parse_json("{\"a\":1}", "t") == parse_json("{\"a\":1,\"b\":2}", "t"));
}

TEST_SUITE_END();
