#include "autograd/checkpoint.h"

namespace lathe {
namespace {

thread_local bool running_again = false;

class Recomputing {
 public:
  Recomputing() : previous_(running_again) { running_again = true; }
  Recomputing(const Recomputing&) = delete;
  Recomputing& operator=(const Recomputing&) = delete;
  ~Recomputing() { running_again = previous_; }

 private:
  bool previous_;
};

}  // namespace

bool recomputing() {
  return running_again;
}

Var checkpoint(const std::function<Var(const std::vector<Var>&)>& fn, const std::vector<Var>& inputs) {
  if (!grad_enabled()) return fn(inputs);
  Tensor y;
  Saved saved;
  {
    const NoGrad no_grad;
    y = fn(inputs).data();
  }
  for (const Var& input : inputs) saved.push_back(input.data());
  const int count = static_cast<int>(inputs.size());
  const Rule rule = [fn, count](Backward& b) {
    std::vector<Var> leaves;
    for (int i = 0; i < count; ++i) leaves.emplace_back(b.saved(i), b.wants(i));
    const Recomputing scope;
    const NoGrad with_grad(false);
    backward(fn(leaves), b.dy());
    for (int i = 0; i < count; ++i) {
      if (b.wants(i) && leaves[static_cast<size_t>(i)].grad().defined())
        b.pass(i, leaves[static_cast<size_t>(i)].grad());
    }
  };
  // fn may reach parameters that are no inputs, so the op is kept whatever its inputs require.
  return record("checkpoint", std::move(y), inputs, std::move(saved), rule, {.always = true});
}

}  // namespace lathe
