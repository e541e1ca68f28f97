#include "layers/parameter.h"

#include <algorithm>
#include <optional>

namespace lathe {
namespace {

// What Parameter::value() depends on.
struct MemoKey {
  Mode mode;
  uint64_t forward;
  uint64_t version;       // of the raw tensor's storage
  uint64_t replacements;  // of the storage itself
  bool recorded;          // a value made without gradients is no value for a forward that wants them
  bool operator==(const MemoKey&) const = default;
};

}  // namespace

struct Parameter::Body {
  Parameter* owner;
  Var raw;
  Kind kind;
  Role role;
  Axes axes;
  uint32_t stream;
  std::shared_ptr<Parametrization> parametrization;
  Var memo;
  std::optional<MemoKey> memo_key;
};

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::Weight:
      return "weight";
    case Kind::Bias:
      return "bias";
    case Kind::Norm:
      return "norm";
    case Kind::Embedding:
      return "embedding";
  }
  return "unknown";
}

std::string_view to_string(Role role) {
  switch (role) {
    case Role::Weight:
      return "weight";
    case Role::Scale:
      return "scale";
    case Role::Bits:
      return "bits";
    case Role::DeadZone:
      return "dead_zone";
  }
  return "unknown";
}

Parameter::Parameter(Module& owner, std::string name, const ParameterSpec& spec)
    : module_(owner), name_(std::move(name)), body_(std::make_shared<Body>()) {
  LATHE_CHECK(ConfigError, !name_.empty(), "parameter: a parameter of '", owner.path(), "' has no name");
  for (const Parameter* other : owner.own_parameters_) {
    LATHE_CHECK(ConfigError, other->name_ != name_, "parameter: '", owner.path(),
                "' has two parameters named '", name_, "'");
  }
  owner.count_parameter();
  const RootOptions& root = owner.root_options();
  Tensor tensor;
  if (root.device.type == DeviceType::Meta) {
    tensor = Tensor::empty(spec.shape, root.dtype, root.device);
  } else if (!root.draw && spec.role == Role::Weight) {
    tensor = Tensor::zeros(spec.shape, root.dtype, root.device);
  } else {
    // Drawn in f32 whatever the run's type, so that an f64 model starts from the same numbers.
    tensor = Tensor::empty(spec.shape, DType::F32);
    spec.init(tensor, Philox{root.seed, stream_id("init/" + path()), 0});
    tensor = tensor.to(root.dtype).to(root.device);
  }
  body_->owner = this;
  body_->raw = Var(std::move(tensor), true);
  body_->kind = spec.kind;
  body_->role = spec.role;
  body_->axes = spec.axes;
  body_->stream = owner.stream(name_);
  owner.own_parameters_.push_back(this);
}

Parameter::~Parameter() {
  std::erase(module_.own_parameters_, this);
}

std::string Parameter::path() const {
  const std::string where = module_.path();
  return where.empty() ? name_ : where + "." + name_;
}

Kind Parameter::kind() const {
  return body_->kind;
}
Role Parameter::role() const {
  return body_->role;
}
Axes Parameter::axes() const {
  return body_->axes;
}
const Var& Parameter::raw() const {
  return body_->raw;
}
const Parameter& Parameter::owner() const {
  return *body_->owner;
}
uint32_t Parameter::stream() const {
  return body_->stream;
}
const std::shared_ptr<Parametrization>& Parameter::parametrization() const {
  return body_->parametrization;
}

void Parameter::tie(Parameter& to) {
  LATHE_CHECK(ShapeError, to.shape() == shape(), "tie: ", path(), " has shape ", shape(), ", ", to.path(),
              " has ", to.shape());
  body_ = to.body_;
}

void Parameter::parametrize(std::shared_ptr<Parametrization> parametrization) {
  body_->parametrization = std::move(parametrization);
  body_->memo_key.reset();
  body_->memo = Var();
}

const Var& Parameter::value() {
  if (body_->parametrization == nullptr) return body_->raw;
  if (module_.training() && !body_->parametrization->in_training_forward()) return body_->raw;
  return evaluate();
}

const Var& Parameter::quantized() {
  return body_->parametrization == nullptr ? body_->raw : evaluate();
}

const Var& Parameter::evaluate() {
  const RunState& run = module_.run();
  // In training the one evaluation serves uses with and without gradients (checkpointed blocks run without).
  const bool recorded = run.mode == Mode::Train || grad_enabled();
  const MemoKey key{run.mode, run.forward, body_->raw.data().version(), body_->raw.replacements(), recorded};
  if (body_->memo_key != key) {
    const NoGrad mode(!recorded);
    body_->memo = Var();  // first, so that the new value finds the memory of the old one
    body_->memo_key.reset();
    body_->memo = body_->parametrization->apply(body_->raw, run, body_->stream);
    body_->memo_key = key;
  }
  return body_->memo;
}

Buffer::Buffer(Module& owner, std::string name, const Shape& shape, double value)
    : module_(owner), name_(std::move(name)) {
  for (const Buffer* other : owner.own_buffers_) {
    LATHE_CHECK(ConfigError, other->name_ != name_, "buffer: '", owner.path(), "' has two buffers named '",
                name_, "'");
  }
  data_ = Tensor::full(shape, value, owner.root_options().dtype, owner.root_options().device);
  owner.own_buffers_.push_back(this);
}

Buffer::~Buffer() {
  std::erase(module_.own_buffers_, this);
}

std::string Buffer::path() const {
  const std::string where = module_.path();
  return where.empty() ? name_ : where + "." + name_;
}

}  // namespace lathe
