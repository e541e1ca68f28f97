#include "core/kernels/optim.h"
#include "train/optim/update_rule.h"

namespace lathe {
namespace {

constexpr std::string_view kLrDoc = "learning rate before the schedule";

struct SgdOptions {
  double lr = 0.1;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
  void fields(FieldVisitor& v) {
    v.visit("lr", lr, {.doc = kLrDoc, .min = 0});
    v.visit("momentum", momentum, {.doc = "share of the last update that is kept", .min = 0, .max = 1});
    v.visit("nesterov", nesterov, {.doc = "look ahead along the momentum"});
    v.visit("weight_decay", weight_decay, {.doc = "times the weight, added to the gradient", .min = 0});
  }
};

struct AdamOptions {
  double lr = 1e-3;
  std::vector<double> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0;
  void fields(FieldVisitor& v) {
    v.visit("lr", lr, {.doc = kLrDoc, .min = 0});
    v.visit("betas", betas,
            {.doc = "decay of the first and of the second moment", .min = 0, .max = 1, .below_max = true});
    v.visit("eps", eps, {.doc = "added to the root of the second moment", .min = 0});
    v.visit("weight_decay", weight_decay,
            {.doc = "adam: times the weight, added to the gradient; adamw: times lr, shrinks the weight",
             .min = 0});
  }
};

struct RmspropOptions {
  double lr = 1e-2;
  double alpha = 0.99;
  double eps = 1e-8;
  double momentum = 0;
  double weight_decay = 0;
  void fields(FieldVisitor& v) {
    v.visit("lr", lr, {.doc = kLrDoc, .min = 0});
    v.visit("alpha", alpha, {.doc = "decay of the mean square", .min = 0, .max = 1, .below_max = true});
    v.visit("eps", eps,
            {.doc = "rmsprop: added to the root of the mean square; rmsprop_tf: inside it", .min = 0});
    v.visit("momentum", momentum, {.doc = "share of the last update that is kept", .min = 0, .max = 1});
    v.visit("weight_decay", weight_decay, {.doc = "times the weight, added to the gradient", .min = 0});
  }
};

class Sgd : public UpdateRule {
 public:
  explicit Sgd(const SgdOptions& options) : options_(options) {
    if (options.momentum > 0) slots_ = {"momentum"};
  }
  const std::vector<std::string_view>& slots() const override { return slots_; }
  void update(UpdateLists& lists, double lr, const GradientScale& scale) const override {
    std::span<Tensor> momentum;
    if (!slots_.empty()) momentum = lists.slots[0];
    kernels::sgd_update(lists.values, lists.gradients, momentum,
                        {.lr = lr,
                         .momentum = options_.momentum,
                         .weight_decay = options_.weight_decay,
                         .grad_scale = scale.factor,
                         .nesterov = options_.nesterov,
                         .clip = scale.clip});
  }

 private:
  SgdOptions options_;
  std::vector<std::string_view> slots_;
};

struct NagOptions {
  double lr = 1.0;
  double momentum = 0.99;
  double weight_decay = 0;
  void fields(FieldVisitor& v) {
    v.visit("lr", lr, {.doc = kLrDoc, .min = 0});
    v.visit("momentum", momentum,
            {.doc = "share of the last update that is kept",
             .min = 0,
             .max = 1,
             .above_min = true,
             .below_max = true});
    v.visit("weight_decay", weight_decay, {.doc = "times lr, shrinks the weight", .min = 0});
  }
};

/// fairseq's: p += m^2 r b - (1 + m) lr g, then b = m r b - lr g, with r = lr / lr_old. In terms of
/// v = -b / lr, v = m v + g and p -= lr (g + m v): Nesterov's momentum that follows every change of the rate,
/// so that no rate need be remembered. Weight decay is decoupled.
class Nag : public UpdateRule {
 public:
  explicit Nag(const NagOptions& options) : options_(options) {}
  const std::vector<std::string_view>& slots() const override { return slots_; }
  void update(UpdateLists& lists, double lr, const GradientScale& scale) const override {
    kernels::sgd_update(lists.values, lists.gradients, lists.slots[0],
                        {.lr = lr,
                         .momentum = options_.momentum,
                         .weight_decay = options_.weight_decay,
                         .grad_scale = scale.factor,
                         .nesterov = true,
                         .decoupled = true,
                         .clip = scale.clip});
  }

 private:
  NagOptions options_;
  std::vector<std::string_view> slots_ = {"momentum"};
};

class Adam : public UpdateRule {
 public:
  Adam(const AdamOptions& options, bool decoupled) : options_(options), decoupled_(decoupled) {}
  const std::vector<std::string_view>& slots() const override { return slots_; }
  bool counts_steps() const override { return true; }
  void update(UpdateLists& lists, double lr, const GradientScale& scale) const override {
    kernels::adam_update(lists.values, lists.gradients, lists.slots[0], lists.slots[1], lists.steps,
                         {.lr = lr,
                          .beta1 = options_.betas[0],
                          .beta2 = options_.betas[1],
                          .eps = options_.eps,
                          .weight_decay = options_.weight_decay,
                          .grad_scale = scale.factor,
                          .decoupled = decoupled_,
                          .clip = scale.clip});
  }

 private:
  AdamOptions options_;
  bool decoupled_;
  std::vector<std::string_view> slots_ = {"first_moment", "second_moment"};
};

/// TensorFlow's form begins with a mean square of 1.
class Rmsprop : public UpdateRule {
 public:
  Rmsprop(const RmspropOptions& options, bool tf) : options_(options), tf_(tf) {
    if (options.momentum > 0) slots_.push_back("momentum");
  }
  const std::vector<std::string_view>& slots() const override { return slots_; }
  double first(size_t slot) const override { return tf_ && slot == 0 ? 1 : 0; }
  void update(UpdateLists& lists, double lr, const GradientScale& scale) const override {
    std::span<Tensor> momentum;
    if (slots_.size() > 1) momentum = lists.slots[1];
    kernels::rmsprop_update(lists.values, lists.gradients, lists.slots[0], momentum,
                            {.lr = lr,
                             .alpha = options_.alpha,
                             .eps = options_.eps,
                             .momentum = options_.momentum,
                             .weight_decay = options_.weight_decay,
                             .grad_scale = scale.factor,
                             .tf = tf_,
                             .clip = scale.clip});
  }

 private:
  RmspropOptions options_;
  bool tf_;
  std::vector<std::string_view> slots_ = {"mean_square"};
};

/// `check(options, section, where)` refuses combinations of values that the fields alone allow.
template <class Options, class Make, class Check>
RuleEntry rule_entry(std::string name, std::string doc, Options defaults, Make make, Check check) {
  const auto read = [defaults, check](const Value& section, const FieldPath& where,
                                      const std::vector<std::string_view>& also_allowed) {
    Options options = defaults;
    read_fields(options, section, where, also_allowed);
    check(options, section, where);
    return options;
  };
  RuleEntry entry;
  entry.name = std::move(name);
  entry.doc = std::move(doc);
  const Value values = write_fields(defaults);
  for (const auto& [key, value] : values.members()) entry.fields.push_back(key);
  entry.build = [read, make](const Value& section, const FieldPath& where,
                             const std::vector<std::string_view>& also_allowed) {
    const Options options = read(section, where, also_allowed);
    return ConfiguredRule{make(options), options.lr};
  };
  entry.resolve = [read](const Value& section, const FieldPath& where,
                         const std::vector<std::string_view>& also_allowed) {
    return write_fields(read(section, where, also_allowed));
  };
  entry.schema = [defaults] { return fields_schema(defaults); };
  return entry;
}

void check_sgd(const SgdOptions& options, const Value& section, const FieldPath& where) {
  if (!options.nesterov || options.momentum > 0) return;
  config_error(where / "nesterov", section.line(), "needs a momentum above 0");
}

void check_adam(const AdamOptions& options, const Value& section, const FieldPath& where) {
  if (options.betas.size() == 2) return;
  config_error(where / "betas", section.line(), concat("expected two numbers, found ", options.betas.size()));
}

void check_none(const RmspropOptions&, const Value&, const FieldPath&) {}

}  // namespace

const std::vector<RuleEntry>& update_rules() {
  static const std::vector<RuleEntry> rules = {
      rule_entry(
          "sgd", "stochastic gradient descent with momentum", SgdOptions{},
          [](const SgdOptions& options) { return std::make_unique<Sgd>(options); }, check_sgd),
      rule_entry(
          "nag", "Nesterov's accelerated gradient as fairseq has it, with decoupled weight decay",
          NagOptions{}, [](const NagOptions& options) { return std::make_unique<Nag>(options); },
          [](const NagOptions&, const Value&, const FieldPath&) {}),
      rule_entry(
          "adam", "Adam; weight decay is added to the gradient (L2)", AdamOptions{},
          [](const AdamOptions& options) { return std::make_unique<Adam>(options, false); }, check_adam),
      rule_entry(
          "adamw", "Adam with decoupled weight decay", AdamOptions{.weight_decay = 0.01},
          [](const AdamOptions& options) { return std::make_unique<Adam>(options, true); }, check_adam),
      rule_entry(
          "rmsprop", "RMSprop as PyTorch has it", RmspropOptions{},
          [](const RmspropOptions& options) { return std::make_unique<Rmsprop>(options, false); },
          check_none),
      rule_entry(
          "rmsprop_tf", "RMSprop as TensorFlow has it: eps in the root, the rate in the momentum",
          RmspropOptions{.alpha = 0.9, .eps = 1e-10},
          [](const RmspropOptions& options) { return std::make_unique<Rmsprop>(options, true); }, check_none),
  };
  return rules;
}

}  // namespace lathe
