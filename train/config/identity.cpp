#include "train/config/identity.h"

#include <algorithm>

#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"

namespace lathe {
namespace {

bool counts(std::string_view path) {
  constexpr std::string_view kFree[] = {
      "name",      "threads",        "device",           "output",
      "data.root", "data.cache_mib", "train.cuda_graph", "train.device_augment"};
  return std::find(std::begin(kFree), std::end(kFree), path) == std::end(kFree);
}

std::string join(const std::string& path, const std::string& key) {
  return path.empty() ? key : concat(path, ".", key);
}

/// Keys sorted, those that do not count left out.
Value canonical(const Value& value, const std::string& path) {
  if (value.is(Value::Type::Array)) {
    Value list = Value::array();
    for (const Value& item : value.items()) list.push_back(canonical(item, path + "[]"));
    return list;
  }
  if (!value.is(Value::Type::Object)) return value;
  std::vector<Value::Member> members;
  for (const auto& [key, member] : value.members()) {
    const std::string place = join(path, key);
    if (counts(place)) members.emplace_back(key, canonical(member, place));
  }
  std::sort(members.begin(), members.end(),
            [](const Value::Member& a, const Value::Member& b) { return a.first < b.first; });
  return Value::object(std::move(members));
}

std::string shown(const Value* value) {
  constexpr size_t kLongest = 60;
  if (value == nullptr) return "nothing";
  std::string text = to_json(*value);
  return text.size() <= kLongest ? text : text.substr(0, kLongest) + "...";
}

/// Appends what differs between two canonical values, either of which may be missing.
void compare(const Value* before, const Value* now, const std::string& path, std::vector<std::string>& out) {
  if (before != nullptr && now != nullptr) {
    if (*before == *now) return;
    if (before->is(Value::Type::Object) && now->is(Value::Type::Object)) {
      for (const auto& [key, value] : before->members())
        compare(&value, now->find(key), join(path, key), out);
      for (const auto& [key, value] : now->members()) {
        if (before->find(key) == nullptr) compare(nullptr, &value, join(path, key), out);
      }
      return;
    }
    const bool lists = before->is(Value::Type::Array) && now->is(Value::Type::Array);
    if (lists && before->items().size() == now->items().size()) {
      for (size_t i = 0; i < now->items().size(); ++i) {
        compare(&before->items()[i], &now->items()[i], concat(path, "[", i, "]"), out);
      }
      return;
    }
  }
  out.push_back(concat(path, ": ", shown(before), " before, ", shown(now), " now"));
}

}  // namespace

std::string experiment_hash(const Value& resolved) {
  return hash_hex(to_json(canonical(resolved, "")));
}

std::vector<std::string> changed_keys(const Value& before, const Value& now) {
  const Value a = canonical(before, ""), b = canonical(now, "");
  std::vector<std::string> changes;
  compare(&a, &b, "", changes);
  return changes;
}

void check_same_experiment(const Value& before, const Value& now, const std::filesystem::path& run) {
  constexpr size_t kShown = 5;
  const std::vector<std::string> changes = changed_keys(before, now);
  if (changes.empty()) return;
  std::string list;
  for (size_t i = 0; i < std::min(kShown, changes.size()); ++i)
    list += concat(i == 0 ? "" : "; ", changes[i]);
  if (changes.size() > kShown) list += concat("; and ", changes.size() - kShown, " more");
  LATHE_THROW(ConfigError, run.string(), ": the run was begun with another experiment: ", list);
}

}  // namespace lathe
