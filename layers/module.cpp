#include "layers/module.h"

#include <algorithm>
#include <map>
#include <utility>

#include "autograd/checkpoint.h"
#include "core/philox.h"
#include "layers/calls.h"
#include "layers/parameter.h"

namespace lathe {

struct Module::Root {
  RunState run;
  RootOptions options;
  std::map<uint32_t, std::string> streams;  // every Philox stream of the tree, to catch hash collisions
  CallCounts calls;                         // of forward number calls_forward
  uint64_t calls_forward = 0;
  int64_t parameters = 0;  // made
  bool replaying = false;  // a CallReplay is alive
};

Module::Module(const RootOptions& options) : root_(std::make_shared<Root>()) {
  root_->run.seed = options.seed;
  root_->options = options;
}

Module::Module(Module& parent, std::string name)
    : name_(std::move(name)), parent_(&parent), root_(parent.root_) {
  LATHE_CHECK(ConfigError, !name_.empty() && name_.find('.') == std::string::npos, "module: '", name_,
              "' is no name for a child of '", parent.path(), "'");
  for (const Module* other : parent.children_) {
    LATHE_CHECK(ConfigError, other->name_ != name_, "module: '", parent.path(), "' has two children named '",
                name_, "'");
  }
  parent.children_.push_back(this);
}

Module::~Module() {
  if (parent_ != nullptr) std::erase(parent_->children_, this);
}

std::string Module::path() const {
  if (parent_ == nullptr) return {};
  const std::string above = parent_->path();
  return above.empty() ? name_ : above + "." + name_;
}

std::string Module::describe() const {
  const std::string where = path();
  return concat(where.empty() ? std::string("the model") : where, " (", type(), ")");
}

const RunState& Module::run() const {
  return root_->run;
}
RunState& Module::run() {
  return root_->run;
}
DType Module::activation_dtype() const {
  const bool rounds = training() && run().activations == DType::BF16;
  return rounds ? DType::BF16 : root_options().dtype;
}

const RootOptions& Module::root_options() const {
  return root_->options;
}

void Module::count_parameter() const {
  const int64_t most = root_->options.most_parameters;
  LATHE_CHECK(ConfigError, root_->parameters < most, "the model has more than ", most, " parameters");
  ++root_->parameters;
}

std::vector<Parameter*> Module::parameters() const {
  std::vector<Parameter*> all = own_parameters_;
  for (const Module* child : children_) {
    const std::vector<Parameter*> theirs = child->parameters();
    all.insert(all.end(), theirs.begin(), theirs.end());
  }
  return all;
}

std::vector<Buffer*> Module::buffers() const {
  std::vector<Buffer*> all = own_buffers_;
  for (const Module* child : children_) {
    const std::vector<Buffer*> theirs = child->buffers();
    all.insert(all.end(), theirs.begin(), theirs.end());
  }
  return all;
}

Parameter* Module::find_parameter(std::string_view path) const {
  for (Parameter* parameter : parameters()) {
    if (parameter->path() == path) return parameter;
  }
  return nullptr;
}

uint32_t Module::stream(std::string_view purpose) const {
  const std::string where = path();
  const std::string full = where.empty() ? std::string(purpose) : concat(where, ".", purpose);
  const uint32_t id = stream_id(full);
  const auto [it, inserted] = root_->streams.emplace(id, full);
  LATHE_CHECK(ConfigError, it->second == full, "random streams '", it->second, "' and '", full,
              "' have the same hash: rename one of them");
  return id;
}

uint32_t Module::next_call() const {
  Root& root = *root_;
  if (root.calls_forward != root.run.forward) {
    root.calls.clear();
    root.calls_forward = root.run.forward;
  }
  uint32_t& calls = root.calls[this];
  if (recomputing() && !root.replaying) {
    LATHE_CHECK(ConfigError, calls <= 1, "checkpoint: ", path(), " (", type(), ") is called ", calls,
                " times in one forward; recompute it with lathe::recompute");
    return 0;
  }
  return calls++;
}

CallReplay::CallReplay(const Module& module, CallCounts counts)
    : module_(module),
      previous_(std::exchange(module.root_->calls, std::move(counts))),
      was_replaying_(std::exchange(module.root_->replaying, true)) {}

CallReplay::~CallReplay() {
  module_.root_->calls = std::move(previous_);
  module_.root_->replaying = was_replaying_;
}

CallCounts CallReplay::counts(const Module& module) {
  const Module::Root& root = *module.root_;
  return root.calls_forward == root.run.forward ? root.calls : CallCounts{};
}

}  // namespace lathe
