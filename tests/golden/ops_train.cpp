// Golden optimizers, clipping and averages, by way of the library's own optimizer.

#include <array>

#include "core/kernels/optim.h"
#include "layers/init.h"
#include "tests/golden/ops.h"
#include "train/optim/optimizer.h"

namespace lathe::golden {
namespace {

// One parameter "p" that starts at p0.
struct OneParameter : Module {
  explicit OneParameter(const Tensor& p0)
      : Module(RootOptions{.dtype = p0.dtype()}),
        p(*this, "p", {.shape = p0.shape(), .init = init::constant(0)}) {
    p.raw().set_data(p0);
  }
  Parameter p;
};

// The section of an experiment file that says the same as the attributes.
template <size_t N>
Value section(OpRun& run, const char* type, const std::array<const char*, N>& keys) {
  Value result = Value::object({{"type", Value::string(type)}});
  for (const char* key : keys) {
    if (run.has_attr(key)) result.set(key, run.attr(key));
  }
  return result;
}

void run_optimizer(OpRun& run, const Value& section) {
  OneParameter model(run.constant("p0"));
  const std::vector<Parameter*> parameters = model.parameters();
  const auto optimizer = optimizer_registry().build(section, {.file = "golden", .path = "attrs"}, parameters);
  const std::vector<Value> lrs =
      run.has_attr("lr_per_step") ? run.attr("lr_per_step").items() : std::vector<Value>{};
  for (size_t k = 1; run.has_input(concat("g", k)); ++k) {
    const double lr = lrs.empty() ? optimizer->groups()[0].lr : lrs.at(k - 1).as_real();
    model.p.raw().grad() = run.constant(concat("g", k));
    optimizer->step({.rates = std::span<const double>(&lr, 1), .clip_norm = {}});
    run.output(concat("p_after_", k), Var(model.p.raw().data().clone()));
  }
}

void run_sgd(OpRun& run) {
  run_optimizer(run, section(run, "sgd", std::array{"lr", "momentum", "weight_decay", "nesterov"}));
}
void run_adam(OpRun& run) {
  run_optimizer(run, section(run, "adam", std::array{"lr", "betas", "eps", "weight_decay"}));
}
void run_adamw(OpRun& run) {
  run_optimizer(run, section(run, "adamw", std::array{"lr", "betas", "eps", "weight_decay"}));
}

// The rate before the first step has no effect: the momentum is zero then.
void run_nag(OpRun& run) {
  if (run.has_attr("initial_lr_old")) run.real("initial_lr_old");
  run_optimizer(run, section(run, "nag", std::array{"lr", "momentum", "weight_decay"}));
}

// The section of a published scheduler. timm's counts epochs, which are steps here.
Value schedule_section(OpRun& run) {
  const std::string kind = run.text("kind", "");
  if (kind == "fairseq cosine") {
    return Value::object({{"type", Value::string("cosine_restarts")},
                          {"period_steps", run.attr("period")},
                          {"period_factor", run.attr("t_mult")},
                          {"shrink", run.attr("lr_shrink")},
                          {"min_lr", run.attr("min_lr")},
                          {"warmup_steps", run.attr("warmup_updates")},
                          {"warmup_from", run.attr("warmup_init_lr")}});
  }
  if (kind == "timm cosine") {
    if (run.attr("warmup_prefix").as_bool()) throw Unsupported("timm's cosine with warmup_prefix");
    run.text("note", "");
    return Value::object({{"type", Value::string("cosine")},
                          {"min_lr", run.attr("lr_min")},
                          {"under_warmup", Value::boolean(true)},
                          {"warmup_steps", run.attr("warmup_t")},
                          {"warmup_from", run.attr("warmup_lr_init")}});
  }
  if (kind == "timm step") {
    return Value::object({{"type", Value::string("step")},
                          {"every", run.attr("decay_t")},
                          {"gamma", run.attr("decay_rate")},
                          {"warmup_steps", run.attr("warmup_t")},
                          {"warmup_from", run.attr("warmup_lr_init")}});
  }
  throw Unsupported(concat("no schedule '", kind, "' here"));
}

// The rates of steps t.
void run_schedule(OpRun& run) {
  const auto schedule = schedule_registry().build(schedule_section(run), {.file = "golden", .path = "attrs"});
  const double lr = run.real(run.has_attr("max_lr") ? "max_lr" : "base_lr");
  const int64_t total = run.has_attr("t_initial") ? run.attr("t_initial").as_int() : 1;
  const Tensor steps = run.constant("t").to(DType::F64);
  Tensor rates = Tensor::empty(steps.shape(), DType::F64);
  for (int64_t i = 0; i < steps.numel(); ++i) {
    const auto step = static_cast<int64_t>(steps.ptr<double>()[i]);
    rates.mut<double>()[i] = schedule->rate(lr, {.step = step, .total_steps = total});
  }
  run.output("y", Var(rates.to(run.dtype())));
}

constexpr std::array kRmsprop{"lr", "alpha", "eps", "momentum", "weight_decay"};
void run_rmsprop(OpRun& run) {
  run_optimizer(run, section(run, "rmsprop", kRmsprop));
}
void run_rmsprop_tf(OpRun& run) {
  if (run.has_attr("lr_in_momentum") && !run.attr("lr_in_momentum").as_bool())
    throw Unsupported("rmsprop_tf with the rate outside the momentum");
  run_optimizer(run, section(run, "rmsprop_tf", kRmsprop));
}

void run_clip(OpRun& run) {
  if (run.real("norm_type", 2) != 2) throw Unsupported("clip_grad_norm with another norm than the Euclidean");
  const std::vector<std::string> names = run.input_names();
  std::vector<Tensor> gradients;
  for (const std::string& name : names) gradients.push_back(run.constant(name));
  const double norm = clip_grad_norm(gradients, run.real("max_norm"));
  run.output("total_norm", Var(Tensor::full({}, norm, run.dtype())));
  for (size_t i = 0; i < names.size(); ++i) run.output(names[i], Var(gradients[i]));
}

void run_ema(OpRun& run) {
  std::vector<Tensor> average{run.constant("ema")};
  const std::vector<Tensor> model{run.constant("model")};
  kernels::ema_update(average, model, run.real("decay"));
  run.output("new", Var(average[0]));
}

}  // namespace

OpRows train_rows() {
  return {{"sgd", run_sgd},
          {"adam", run_adam},
          {"adamw", run_adamw},
          {"nag", run_nag},
          {"lr_schedule", run_schedule},
          {"rmsprop", run_rmsprop},
          {"rmsprop_tf", run_rmsprop_tf},
          {"clip_grad_norm", run_clip},
          {"ema", run_ema}};
}

}  // namespace lathe::golden
