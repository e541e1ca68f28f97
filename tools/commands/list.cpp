#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/error.h"
#include "core/fields.h"
#include "data/augment.h"
#include "data/dataset.h"
#include "models/registry.h"
#include "quant/activation.h"
#include "quant/regularizers.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "train/loss/loss.h"
#include "train/optim/optimizer.h"
#include "train/schedule/schedule.h"

namespace lathe::cli {
namespace {

struct Category {
  std::string name;
  std::vector<std::pair<std::string, std::string>> entries;  // name, what it is
};

template <class Registry>
Category category(std::string name, const Registry& registry) {
  Category out{std::move(name), {}};
  for (const auto& entry : registry.entries()) out.entries.emplace_back(entry.name, entry.doc);
  return out;
}

std::vector<Category> categories() {
  return {category("models", model_registry()),
          category("data", data_registry()),
          category("augmentations", augment_registry()),
          category("losses", loss_registry()),
          category("quantizers", quantizer_registry()),
          category("activations", activation_registry()),
          category("regularizers", regularizer_registry()),
          category("optimizers", optimizer_registry()),
          category("schedules", schedule_registry())};
}

std::vector<Category> selected(const std::string& wanted) {
  std::vector<Category> all = categories();
  if (wanted.empty()) return all;
  std::vector<std::string> names;
  for (const Category& one : all) {
    if (one.name == wanted) return {one};
    names.push_back(one.name);
  }
  const std::string near = nearest(wanted, names);
  LATHE_THROW(ConfigError, "list: there is no list of '", wanted, "'",
              near.empty() ? concat("; lists: ", fmt::format("{}", fmt::join(names, ", ")))
                           : concat(", did you mean '", near, "'?"));
}

int list(const Session& session, const std::string& wanted) {
  const std::vector<Category> lists = selected(wanted);
  if (session.json) {
    Value out = Value::object();
    for (const Category& one : lists) {
      Value names = Value::array();
      for (const auto& [name, doc] : one.entries) {
        names.push_back(Value::object({{"name", Value::string(name)}, {"doc", Value::string(doc)}}));
      }
      out.set(one.name, std::move(names));
    }
    print_json(out);
    return kOk;
  }
  for (const Category& one : lists) {
    fmt::print("{}{}\n", &one == &lists.front() ? "" : "\n", one.name);
    std::vector<std::vector<std::string>> rows;
    for (const auto& [name, doc] : one.entries) rows.push_back({"  " + name, doc});
    print_table(rows);
  }
  return kOk;
}

}  // namespace

void add_list(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("list", "What there is, by the names experiment files use");
  command->footer("Examples:\n  lathe list\n  lathe list models --json");
  auto what = std::make_shared<std::string>();
  command->add_option(
      "WHAT", *what,
      "models, data, augmentations, losses, quantizers, activations, regularizers, optimizers or "
      "schedules; all without it");
  add_common_options(*command, session);
  command->callback(
      [&session, what] { session.command = [&session, what] { return list(session, *what); }; });
}

}  // namespace lathe::cli
