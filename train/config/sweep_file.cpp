#include "train/config/sweep_file.h"

#include <algorithm>
#include <cctype>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"

namespace lathe {
namespace {

struct SweepOptions {
  int64_t schema = Sweep::kSchema;
  std::string name, experiment, init;
  Value set = Value::object(), grid = Value::object(), points = Value::array();
  void fields(FieldVisitor& v) {
    v.visit(
        "schema", schema,
        {.doc = "version of this format", .min = Sweep::kSchema, .max = Sweep::kSchema, .required = true});
    v.visit("name", name, {.doc = "of the sweep and its folder", .required = true});
    v.visit("experiment", experiment, {.doc = "experiment file of points that name none"});
    v.visit("init", init, {.doc = "run or safetensors file that points start from"});
    v.visit("set", set, {.doc = "changes to every point's experiment: {\"a.b\": value}"});
    v.visit("grid", grid, {.doc = "lists of values by path: every combination is a point"});
    v.visit("points", points, {.doc = "the points; none: one of the experiment as it is"});
  }
};

struct PointOptions {
  std::string name, experiment, init, from;
  Value set = Value::object();
  Value quant;
  void fields(FieldVisitor& v) {
    v.visit("name", name, {.doc = "of the point", .required = true});
    v.visit("experiment", experiment, {.doc = "its experiment file"});
    v.visit("init", init, {.doc = "run or safetensors file that it starts from"});
    v.visit("set", set, {.doc = "changes to its experiment, after those of every point"});
    v.visit("from", from, {.doc = "name of a trained point whose weights are quantized, without training"});
    v.visit("quant", quant, {.doc = "the quantizers of a point that has `from`"});
  }
};

void add_sets(const Value& given, const FieldPath& where, std::vector<std::string>& sets) {
  if (!given.is(Value::Type::Object))
    config_error(where, given.line(), concat("expected an object, found ", describe(given)));
  for (const auto& [path, value] : given.members()) sets.push_back(path + "=" + to_json(value));
}

/// A name is a folder's and a file's.
void check_point_name(const std::string& name, int line, const FieldPath& where) {
  const bool fits = !name.empty() && name[0] != '.' && std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("._-=,+").find(c) != std::string_view::npos;
  });
  if (fits) return;
  config_error(
      where / "name", line,
      concat("expected letters, digits and . _ - = , + for the name of a folder, found '", name, "'"));
}

/// One choice of a value for each path of the grid.
struct Combination {
  std::string name;
  std::vector<std::string> sets;
};

std::string last_part(const std::string& path) {
  return path.substr(path.rfind('.') + 1);
}

std::string value_name(const Value& value) {
  std::string text = value.is(Value::Type::String) ? value.as_string() : to_json(value);
  for (char& c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '-' && c != '+') c = '_';
  }
  return text;
}

std::vector<Combination> combinations(const Value& grid, const FieldPath& where) {
  if (!grid.is(Value::Type::Object))
    config_error(where, grid.line(), concat("expected an object, found ", describe(grid)));
  std::vector<Combination> all = {{}};
  for (const auto& [path, values] : grid.members()) {
    if (!values.is(Value::Type::Array) || values.items().empty())
      config_error(where / path, values.line(), "expected a list of values");
    std::vector<Combination> longer;
    for (const Combination& shorter : all) {
      for (const Value& value : values.items()) {
        Combination one = shorter;
        one.name += concat(one.name.empty() ? "" : ",", last_part(path), "=", value_name(value));
        one.sets.push_back(path + "=" + to_json(value));
        longer.push_back(std::move(one));
      }
    }
    all = std::move(longer);
  }
  return all;
}

class SweepReader {
 public:
  SweepReader(const std::filesystem::path& path, const SweepChanges& changes)
      : changes_(changes), folder_(path.parent_path()), where_{path.string(), ""} {
    const Value root = parse_json(read_text(path), path.string(), {.comments = true});
    read_fields(options_, root, where_);
    check_point_name(options_.name, root.line(), where_);
    grid_ = combinations(options_.grid, where_ / "grid");
    add_sets(options_.set, where_ / "set", sets_);
  }

  Sweep read() {
    sweep_.name = options_.name;
    if (!options_.points.is(Value::Type::Array))
      config_error(where_ / "points", options_.points.line(),
                   concat("expected a list, found ", describe(options_.points)));
    const auto& items = options_.points.items();
    if (items.empty()) add_trained({}, where_, 0);
    for (size_t i = 0; i < items.size(); ++i) {
      PointOptions point;
      const FieldPath where = (where_ / "points")[i];
      read_fields(point, items[i], where);
      check_point_name(point.name, items[i].line(), where);
      point.from.empty() ? add_trained(point, where, items[i].line())
                         : add_quantized(point, where, items[i].line());
    }
    return std::move(sweep_);
  }

 private:
  void add_trained(const PointOptions& point, const FieldPath& where, int line) {
    if (!point.quant.is(Value::Type::Null))
      config_error(where / "quant", line,
                   "a trained point says it in its experiment: expected `from` with it");
    const std::string& experiment = point.experiment.empty() ? options_.experiment : point.experiment;
    if (experiment.empty()) config_error(where, line, "there is no `experiment`, neither here nor for all");
    for (const Combination& combination : grid_) {
      SweepPoint made{.name = point.name, .experiment = folder_ / experiment, .where = where};
      if (made.name.empty())
        made.name = combination.name.empty() ? options_.name : combination.name;
      else if (!combination.name.empty())
        made.name += "," + combination.name;
      check_point_name(made.name, line, where);
      made.sets = sets_;
      add_sets(point.set, where / "set", made.sets);
      made.sets.insert(made.sets.end(), combination.sets.begin(), combination.sets.end());
      made.sets.insert(made.sets.end(), changes_.sets.begin(), changes_.sets.end());
      made.sets.push_back("name=" + to_json(Value::string(made.name)));
      made.init = point.init.empty() ? options_.init : point.init;
      if (!changes_.init.empty()) made.init = changes_.init;
      add(std::move(made), line);
    }
  }

  void add_quantized(const PointOptions& point, const FieldPath& where, int line) {
    if (!point.experiment.empty() || !point.init.empty() || !point.set.members().empty())
      config_error(where, line, "`from` takes another point's weights: expected `quant` alone beside it");
    if (point.quant.is(Value::Type::Null)) config_error(where, line, "`from` without `quant`");
    const SweepPoint* from = find(point.from);
    if (from == nullptr || !from->trained()) {
      std::vector<std::string> names;
      for (const SweepPoint& one : sweep_.points) {
        if (one.trained()) names.push_back(one.name);
      }
      const std::string near = nearest(point.from, names);
      config_error(where / "from", line,
                   concat("no trained point '", point.from, "' above",
                          near.empty() ? "" : concat(", did you mean '", near, "'?")));
    }
    add({.name = point.name, .from = point.from, .quant = point.quant, .where = where}, line);
  }

  void add(SweepPoint point, int line) {
    if (find(point.name) != nullptr)
      config_error(point.where, line, concat("there are two points '", point.name, "'"));
    sweep_.points.push_back(std::move(point));
  }

  const SweepPoint* find(std::string_view name) const {
    for (const SweepPoint& one : sweep_.points) {
      if (one.name == name) return &one;
    }
    return nullptr;
  }

  const SweepChanges& changes_;
  std::filesystem::path folder_;
  FieldPath where_;
  SweepOptions options_;
  std::vector<Combination> grid_;
  std::vector<std::string> sets_;
  Sweep sweep_;
};

}  // namespace

Sweep load_sweep(const std::filesystem::path& path, const SweepChanges& changes) {
  return SweepReader(path, changes).read();
}

}  // namespace lathe
