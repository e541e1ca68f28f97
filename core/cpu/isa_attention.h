#pragma once
// Passes over blocks of attention scores, compiled per instruction set (core/cpu/isa/attention.cpp).

#include <cstdint>

#include "core/cpu/isa.h"

namespace lathe::cpu {

/// `rows` queries by `columns` keys. Row i sees the keys s < first_limit + i; without causality first_limit
/// is at least `columns`.
template <class T>
struct ScoreBlock {
  int64_t rows = 0, columns = 0, first_limit = 0;
  T scale = 1;
  const T* bias = nullptr;  // row 0's; or null
  int64_t bias_stride = 0;
  const T* mask = nullptr;  // added to every row: 0 or -inf per key; or null
};

/// scores = q k^T become probabilities exp(scale scores + bias + mask - lse); 0 for keys out of sight. lse is
/// written; +inf where nothing is seen.
LATHE_ISA_FUNCTION(void, attention_softmax_f32, float* scores, float* lse, const ScoreBlock<float>& block);
LATHE_ISA_FUNCTION(void, attention_softmax_f64, double* scores, double* lse, const ScoreBlock<double>& block);
/// The same with lse given.
LATHE_ISA_FUNCTION(void, attention_probabilities_f32, float* scores, const float* lse,
                   const ScoreBlock<float>& block);
LATHE_ISA_FUNCTION(void, attention_probabilities_f64, double* scores, const double* lse,
                   const ScoreBlock<double>& block);
/// g, the gradient of the probabilities p, becomes that of q k^T: h = p (g - delta), dbias += h, g = scale h;
/// delta is one value per row, dbias may be null and has the block's bias_stride.
LATHE_ISA_FUNCTION(void, attention_score_gradient_f32, float* g, float* dbias, const float* p,
                   const float* delta, const ScoreBlock<float>& block);
LATHE_ISA_FUNCTION(void, attention_score_gradient_f64, double* g, double* dbias, const double* p,
                   const double* delta, const ScoreBlock<double>& block);
/// sum over i < n of a[i] b[i]
LATHE_ISA_FUNCTION(float, dot_f32, const float* a, const float* b, int64_t n);
LATHE_ISA_FUNCTION(double, dot_f64, const double* a, const double* b, int64_t n);

}  // namespace lathe::cpu
