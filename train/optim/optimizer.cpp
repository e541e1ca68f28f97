#include "train/optim/optimizer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/kernels/optim.h"
#include "core/kernels/optim_math.h"

namespace lathe {
namespace {

double checked_norm(Tensor& sum, std::span<const Tensor> tensors) {
  if (tensors.empty()) return 0;
  kernels::sum_of_squares(sum, tensors);
  const double norm = std::sqrt(sum.item());
  check_norm(norm);
  return norm;
}

}  // namespace

void check_norm(double norm) {
  LATHE_CHECK(DivergedError, std::isfinite(norm), "the norm of the gradients is not finite");
}

/// What a group remembers between steps, and lists that are filled anew each step without allocating.
struct Optimizer::GroupState {
  std::vector<std::vector<Tensor>> slots;  // per slot, per parameter
  std::vector<int64_t> steps;              // per parameter
  UpdateLists lists;

  void gather(const std::vector<Parameter*>& parameters) {
    for (size_t i = 0; i < parameters.size(); ++i) {
      const Var& raw = parameters[i]->raw();
      if (!raw.grad().defined()) continue;
      lists.values.push_back(raw.mutable_data());
      lists.gradients.push_back(raw.grad());
      for (size_t slot = 0; slot < slots.size(); ++slot) lists.slots[slot].push_back(slots[slot][i]);
      lists.steps.push_back(steps[i] + 1);
    }
  }

  void count(const std::vector<Parameter*>& parameters) {
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (parameters[i]->raw().grad().defined()) ++steps[i];
    }
  }

  void release() {
    lists.values.clear();
    lists.gradients.clear();
    for (std::vector<Tensor>& slot : lists.slots) slot.clear();
    lists.steps.clear();
  }
};

Optimizer::Optimizer(std::vector<ParameterGroup> groups)
    : groups_(std::move(groups)), states_(groups_.size()), rates_(groups_.size()), scales_(groups_.size()) {
  std::set<const Parameter*> seen;
  size_t count = 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    const ParameterGroup& group = groups_[g];
    GroupState& state = states_[g];
    state.slots.resize(group.rule->slots().size());
    state.lists.slots.resize(state.slots.size());
    state.steps.assign(group.parameters.size(), 0);
    for (const Parameter* parameter : group.parameters) {
      LATHE_CHECK(ConfigError, !parameter->tied(), "optimizer: ", parameter->path(), " is tied to ",
                  parameter->owner().path());
      LATHE_CHECK(ConfigError, seen.insert(parameter).second, "optimizer: ", parameter->path(),
                  " is in two groups");
      const Tensor& values = parameter->raw().data();
      for (size_t slot = 0; slot < state.slots.size(); ++slot) {
        const double first = group.rule->first(slot);
        state.slots[slot].push_back(Tensor::full(values.shape(), first, values.dtype(), values.device()));
      }
    }
    count += group.parameters.size();
    state.lists.values.reserve(group.parameters.size());
    state.lists.gradients.reserve(group.parameters.size());
    state.lists.steps.reserve(group.parameters.size());
    for (std::vector<Tensor>& slot : state.lists.slots) slot.reserve(group.parameters.size());
  }
  clipped_together_.reserve(count);
  if (!seen.empty()) device_ = (*seen.begin())->raw().data().device();
  sum_ = Tensor::zeros({}, DType::F64, device_);
}

Optimizer::~Optimizer() = default;

std::span<const double> Optimizer::rates(const Schedule& run_schedule, const SchedulePoint& at) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    const Schedule& schedule = groups_[g].schedule ? *groups_[g].schedule : run_schedule;
    rates_[g] = schedule.rate(groups_[g].lr, at);
  }
  return rates_;
}

double Optimizer::step(const OptimizerStep& step) {
  LATHE_CHECK(ConfigError, step.rates.size() == groups_.size(), "optimizer: ", step.rates.size(),
              " rates for ", groups_.size(), " groups");
  struct Release {  // the handles go even when a limit throws
    Optimizer& self;
    ~Release() {
      for (GroupState& state : self.states_) state.release();
      self.clipped_together_.clear();
    }
  } const release{*this};

  for (size_t g = 0; g < groups_.size(); ++g) {
    states_[g].gather(groups_[g].parameters);
    if (groups_[g].clip_norm.has_value()) continue;
    const std::vector<Tensor>& gradients = states_[g].lists.gradients;
    clipped_together_.insert(clipped_together_.end(), gradients.begin(), gradients.end());
  }

  double norm = 0;
  GradientScale shared;
  clip_squares_.clear();
  if (step.clip_norm.value_or(0) > 0) norm = limit(clipped_together_, *step.clip_norm, shared);
  for (size_t g = 0; g < groups_.size(); ++g) {
    const std::optional<double> own = groups_[g].clip_norm;
    scales_[g] = own.has_value() ? GradientScale{} : shared;
    if (own.value_or(0) > 0) limit(states_[g].lists.gradients, *own, scales_[g]);
  }
  for (size_t g = 0; g < groups_.size(); ++g) {
    GroupState& state = states_[g];
    if (state.lists.values.empty()) continue;
    groups_[g].rule->update(state.lists, step.rates[g], scales_[g]);
    state.count(groups_[g].parameters);
  }
  drop_gradients();
  return norm;
}

double Optimizer::limit(std::span<const Tensor> gradients, double most, GradientScale& scale) {
  if (gradients.empty()) return 0;
  if (device_.type == DeviceType::Cpu) {
    const double norm = checked_norm(sum_, gradients);
    scale.factor = clip_coefficient(norm, most);
    return norm;
  }
  Tensor squares = Tensor::empty({}, DType::F64, device_);
  kernels::sum_of_squares(squares, gradients);
  scale.clip = {squares, most};
  clip_squares_.push_back(squares);
  return 0;
}

void Optimizer::drop_gradients() {
  for (const ParameterGroup& group : groups_) {
    for (const Parameter* parameter : group.parameters) parameter->raw().grad() = Tensor();
  }
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> tensors;
  for (size_t g = 0; g < groups_.size(); ++g) {
    const ParameterGroup& group = groups_[g];
    for (size_t i = 0; i < group.parameters.size(); ++i) {
      const std::string path = group.parameters[i]->path();
      for (size_t slot = 0; slot < states_[g].slots.size(); ++slot) {
        tensors.push_back({concat(group.rule->slots()[slot], "/", path), states_[g].slots[slot][i]});
      }
      if (!group.rule->counts_steps()) continue;
      tensors.push_back({"steps/" + path, Tensor::from(std::vector<int64_t>{states_[g].steps[i]}, {})});
    }
  }
  return tensors;
}

void Optimizer::restore(std::span<const NamedTensor> tensors) {
  std::map<std::string, const Tensor*> given;
  for (const NamedTensor& tensor : tensors) given[tensor.name] = &tensor.tensor;
  const auto take = [&](const std::string& name, const Tensor& like) -> const Tensor& {
    const auto found = given.find(name);
    LATHE_CHECK(FormatError, found != given.end(), "optimizer state: ", name, " is missing");
    const Tensor& tensor = *found->second;
    LATHE_CHECK(FormatError, tensor.shape() == like.shape() && tensor.dtype() == like.dtype(),
                "optimizer state: ", name, " is ", tensor.dtype(), tensor.shape(), ", expected ",
                like.dtype(), like.shape());
    given.erase(found);
    return tensor;
  };
  for (size_t g = 0; g < groups_.size(); ++g) {
    const ParameterGroup& group = groups_[g];
    for (size_t i = 0; i < group.parameters.size(); ++i) {
      const std::string path = group.parameters[i]->path();
      for (size_t slot = 0; slot < states_[g].slots.size(); ++slot) {
        Tensor& target = states_[g].slots[slot][i];
        const std::string name = concat(group.rule->slots()[slot], "/", path);
        target = take(name, target).to(target.device()).clone();
      }
      if (!group.rule->counts_steps()) continue;
      const Tensor count = take("steps/" + path, Tensor::zeros({}, DType::I64));
      states_[g].steps[i] = *count.ptr<int64_t>();
      LATHE_CHECK(FormatError, states_[g].steps[i] >= 0, "optimizer state: steps/", path, " is negative");
    }
  }
  LATHE_CHECK(FormatError, given.empty(), "optimizer state: ", given.begin()->first, " is unknown");
}

std::vector<Schedule*> Optimizer::schedules() const {
  std::vector<Schedule*> schedules;
  for (const ParameterGroup& group : groups_) schedules.push_back(group.schedule.get());
  return schedules;
}

double clip_grad_norm(std::span<Tensor> gradients, double max_norm) {
  if (gradients.empty()) return 0;
  Tensor sum = Tensor::zeros({}, DType::F64, gradients[0].device());
  const double norm = checked_norm(sum, gradients);
  kernels::scale_in_place(gradients, clip_coefficient(norm, max_norm));
  return norm;
}

}  // namespace lathe
