#include "autograd/op_cases.h"

#include <iterator>

#include "core/philox.h"

namespace lathe {

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> all = [] {
    std::vector<OpCase> cases;
    for (std::vector<OpCase> family :
         {elementwise_cases(), activation_cases(), reduce_cases(), matmul_cases(), conv_cases(),
          conv_chain_cases(), pool_cases(), norm_cases(), softmax_cases(), loss_cases(), embedding_cases(),
          shape_cases(), random_cases(), attention_cases(), interpolate_cases(), lstm_cases(),
          resample_cases()}) {
      cases.insert(cases.end(), std::move_iterator(family.begin()), std::move_iterator(family.end()));
    }
    return cases;
  }();
  return all;
}

std::vector<Var> make_inputs(const OpCase& op_case, DType dtype) {
  std::vector<Var> inputs;
  uint32_t index = 0;
  for (const CaseInput& input : op_case.inputs) {
    const Philox philox{.seed = 1, .stream = stream_id(op_case.name), .step = index++};
    std::vector<float> values(static_cast<size_t>(input.shape.numel()));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(input.lo + (input.hi - input.lo) * philox.uniform(i));
    }
    inputs.emplace_back(Tensor::from(values, input.shape).to(dtype), input.requires_grad);
  }
  return inputs;
}

}  // namespace lathe
