#pragma once
#include <memory>
#include <vector>

#include "autograd/ops/lstm.h"
#include "layers/parameter.h"
#include "layers/quant_site.h"

namespace lathe {

/// Layers of long short-term memories over (N, T, features), as torch.nn.LSTM (its batch_first layout):
/// weight_ih_l0 (4H, in), weight_hh_l0 (4H, H), bias_ih_l0, bias_hh_l0, then those of `_l0_reverse`, `_l1`,
/// ... all from U(+-1/sqrt(H)). Activations of type bf16 are computed in the parameters' type.
struct LstmLayersOptions {
  int64_t layers = 1;
  bool bidirectional = false;
};

class Lstm : public Module {
 public:
  Lstm(Module& parent, std::string name, int64_t in, int64_t hidden, const LstmLayersOptions& options = {});
  const char* type() const override { return "Lstm"; }

  /// (N, T, in) -> (N, T, H), or (N, T, 2H): [forward, backward].
  Var operator()(const Var& x);

 private:
  struct Direction {
    Direction(Module& owner, const std::string& suffix, int64_t in, int64_t hidden);
    Var operator()(const Var& x, bool reverse);
    Parameter weight_ih, weight_hh, bias_ih, bias_hh;
  };
  struct Layer {
    Layer(Module& owner, std::string site) : input(owner, std::move(site)) {}
    QuantSite input;  ///< of both directions: "input_l0"; the outputs that recur are not quantized
    std::vector<std::unique_ptr<Direction>> directions;
  };
  std::vector<std::unique_ptr<Layer>> layers_;
};

}  // namespace lathe
