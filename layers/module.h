#pragma once
// Construction is registration: a module's children and parameters are members, made with `*this` and a name.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/tensor.h"
#include "layers/run_state.h"

namespace lathe {

class Parameter;
class Buffer;

/// A node of the module tree. Pinned: neither copied nor moved, so that children may keep references to their
/// parent. A root owns the RunState; children share it. Names join with dots into paths ("layer1.0.conv1").
/// A model belongs to one thread at a time.
class Module : public ErrorContext {
 public:
  explicit Module(const RootOptions& options = {});  ///< a root
  Module(Module& parent, std::string name);  ///< registers with parent; ConfigError for a name already taken
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  virtual ~Module();

  const std::string& name() const { return name_; }
  std::string path() const;                              ///< empty for a root
  virtual const char* type() const { return "Module"; }  ///< "Conv2d", for messages
  std::string describe() const override;                 ///< "layer1.0.conv1 (Conv2d)"

  const RunState& run() const;
  RunState& run();  ///< the root's, shared by the whole tree
  const RootOptions& root_options() const;
  bool training() const { return run().mode == Mode::Train; }
  Device device() const { return root_options().device; }
  /// What this forward computes activations in.
  DType activation_dtype() const;

  /// Direct members in the order of construction.
  const std::vector<Module*>& children() const { return children_; }
  const std::vector<Parameter*>& own_parameters() const { return own_parameters_; }
  const std::vector<Buffer*>& own_buffers() const { return own_buffers_; }

  /// Of the whole subtree, a module's own before its children's: the order of PyTorch's state dicts. Tied
  /// parameters appear at each of their names.
  std::vector<Parameter*> parameters() const;
  std::vector<Buffer*> buffers() const;
  Parameter* find_parameter(std::string_view path) const;  ///< null when there is none

  /// A Philox stream named path().`purpose`, checked unique in the tree when first asked for.
  uint32_t stream(std::string_view purpose) const;

  /// How often this module asked before in this forward (RunState::forward): a module that is used twice
  /// draws different noise each time. ConfigError in a recomputation that cannot tell which call it repeats
  /// (see layers/recompute.h).
  uint32_t next_call() const;

 private:
  friend class Parameter;
  friend class Buffer;
  friend class CallReplay;
  struct Root;
  void count_parameter() const;  ///< ConfigError where RootOptions::most_parameters are made

  std::string name_;
  Module* parent_ = nullptr;
  std::shared_ptr<Root> root_;
  std::vector<Module*> children_;
  std::vector<Parameter*> own_parameters_;
  std::vector<Buffer*> own_buffers_;
};

/// Children "0", "1", ... of one type, owned.
template <class T>
class ModuleList : public Module {
 public:
  using Module::Module;
  template <class... Args>
  T& emplace(Args&&... args) {
    items_.push_back(std::make_unique<T>(*this, std::to_string(items_.size()), std::forward<Args>(args)...));
    return *items_.back();
  }
  size_t size() const { return items_.size(); }
  T& operator[](size_t i) { return *items_.at(i); }
  auto begin() { return items_.begin(); }
  auto end() { return items_.end(); }

 private:
  std::vector<std::unique_ptr<T>> items_;
};

}  // namespace lathe
