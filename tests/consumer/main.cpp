// A program of somebody else's: builds a small network and trains it on tensors of its own.
#include <cstdio>

#include <lathe/lathe.h>

using namespace lathe;

struct Net : Model {
  Linear hidden, head;
  explicit Net(const RootOptions& options)
      : Model(options), hidden(*this, "hidden", 2, 16), head(*this, "head", 16, 2) {}
  Var forward(const Batch& batch) override { return head(relu(hidden(Var(batch.inputs[0])))); }
};

int main() {
  Net net({.seed = 1});
  const Batch points{{Tensor::from<float>({-1, -1, -1, 1, 1, -1, 1, 1}, {4, 2})},
                     {Tensor::from<int64_t>({0, 1, 1, 0}, {4})},
                     4};
  const auto optimizer = optimizer_registry().build(parse_json(R"({"type": "adam", "lr": 0.05})", "adam"), {},
                                                    unique_parameters(net));
  const std::vector<double> rates(optimizer->groups().size(), 0.05);
  double loss = 0;
  for (int step = 0; step < 100; ++step) {
    const Var value = cross_entropy(net.forward(points), points.targets[0]);
    loss = value.data().item();
    backward(value);
    optimizer->step({rates, {}});
  }
  std::printf("Lathe %s: exclusive or learned, loss %.4f\n", std::string(version()).c_str(), loss);
  return loss < 0.05 ? 0 : 1;
}
