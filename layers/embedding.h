#pragma once
#include "layers/init.h"

namespace lathe {

struct EmbeddingOptions {
  int64_t padding_idx = -1;      ///< its row starts at zero and gets no gradient; -1: none
  Initializer weight_init = {};  ///< empty: N(0, 1)
};

/// weight (rows, dim).
class Embedding : public Module {
 public:
  Embedding(Module& parent, std::string name, int64_t rows, int64_t dim,
            const EmbeddingOptions& options = {});
  const char* type() const override { return "Embedding"; }

  Var operator()(const Tensor& indices);  ///< (...) i64 -> (..., dim)

  Parameter& weight() { return weight_; }

 private:
  int64_t padding_idx_;
  Parameter weight_;
};

}  // namespace lathe
