#pragma once
// Parameters in groups, each updated by its own rule at its own rate.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/safetensors.h"
#include "layers/parameter.h"
#include "train/optim/update_rule.h"
#include "train/schedule/schedule.h"

namespace lathe {

struct ParameterGroup {
  std::string label;  ///< where the group stands: "optimizer", "optimizer.groups[1]"
  std::unique_ptr<UpdateRule> rule;
  double lr = 0;                       ///< before the schedule
  std::unique_ptr<Schedule> schedule;  ///< null: the run's
  std::optional<double> clip_norm;     ///< its own, 0 for none; without one the run's covers the group
  std::vector<Parameter*> parameters;
};

struct OptimizerStep {
  std::span<const double> rates;    ///< one per group
  std::optional<double> clip_norm;  ///< of the groups without a limit of their own
};

/// Updates each parameter once per step, in place. Parameters outlive the optimizer, belong to one group and
/// are not tied to another. After the first step a step allocates nothing.
class Optimizer {
 public:
  explicit Optimizer(std::vector<ParameterGroup> groups);
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;
  ~Optimizer();

  const std::vector<ParameterGroup>& groups() const { return groups_; }

  /// The groups' learning rates at a moment of the run; valid until the next call.
  std::span<const double> rates(const Schedule& run_schedule, const SchedulePoint& at);

  /// Clips, updates every parameter that has a gradient, and drops the gradients. Returns the gradients' norm
  /// before clipping, over the groups that the step's limit covers (0 without a limit, and on a device).
  /// DivergedError when a norm is not finite; nothing is updated then. A device is not waited for: its norms
  /// are clip_squares(), and where one is not finite it updates nothing it covers.
  double step(const OptimizerStep& step);
  /// On a device, the latest step's sums of squared gradients under a limit.
  std::span<const Tensor> clip_squares() const { return clip_squares_; }
  void drop_gradients();

  /// Slots named "SLOT/PARAMETER" and counts named "steps/PARAMETER", in a fixed order. Slots share storage
  /// with the optimizer.
  std::vector<NamedTensor> state() const;
  /// Takes over a state of the same optimizer; FormatError when a tensor is missing, unknown or misshapen.
  void restore(std::span<const NamedTensor> tensors);

  /// The groups' own schedules, null where a group follows the run's.
  std::vector<Schedule*> schedules() const;

 private:
  struct GroupState;
  /// Into `scale`, what keeps these gradients' norm at or below `most`; returns the norm on the host.
  double limit(std::span<const Tensor> gradients, double most, GradientScale& scale);

  std::vector<ParameterGroup> groups_;
  std::vector<GroupState> states_;
  std::vector<Tensor> clipped_together_;
  std::vector<double> rates_;
  std::vector<GradientScale> scales_;
  Device device_;  // of the parameters
  Tensor sum_;     // one f64 element
  std::vector<Tensor> clip_squares_;
};

/// DivergedError unless the norm of gradients is finite.
void check_norm(double norm);

/// min(1, max_norm / (norm + 1e-6)) times every gradient, norm over all of them together; returns norm.
double clip_grad_norm(std::span<Tensor> gradients, double max_norm);

/// Optimizers by their rule's name; the argument is a model's parameters (tied ones are left out). A section
/// holds the rule's fields and `groups`, a list of {match, kind, role, fields..., clip_norm, schedule}: a
/// parameter belongs to the first group that matches its full name, kind and role, else to the section
/// itself. A group of the section's own type starts from the section's values, another from its type's
/// defaults. A group without a role is of weights; quantizers' parameters that no group names by role follow
/// the section without weight decay. ConfigError for a group that matches nothing.
using OptimizerRegistry = Registry<std::unique_ptr<Optimizer>, const std::vector<Parameter*>&>;
const OptimizerRegistry& optimizer_registry();

}  // namespace lathe
