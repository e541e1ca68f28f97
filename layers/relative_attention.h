#pragma once
// Self-attention within a window, with a learned bias per head and offset (Graham et al. 2021, section 4.2.3;
// Wu et al. 2022).

#include "layers/attention.h"
#include "layers/norm.h"

namespace lathe {

struct RelativeAttentionOptions {
  int64_t heads = 1;
  int64_t window = 7;  ///< height and width
  LayerNormConfig norm = {};
  LinearOptions qkv = {}, out = {};
};

/// proj(softmax(q k^T / sqrt(width / heads) + bias) v) of norm(x), heads side by side. Rows of qkv's weight
/// are [head][q | k | v][width / heads]. The bias of two positions of the window is attention_biases[head,
/// |dy| window + |dx|], 0 at first.
class RelativeAttention : public Module {
 public:
  /// ConfigError unless heads divide width.
  RelativeAttention(Module& parent, std::string name, int64_t width, const RelativeAttentionOptions& options);
  const char* type() const override { return "RelativeAttention"; }

  /// (windows, window^2, width), positions row by row -> the same.
  Var operator()(const Var& x);

 private:
  int64_t width_, heads_, window_;
  Tensor offsets_;  // (window^2, window^2): the column of each pair of positions
  Parameter attention_biases_;
  LayerNorm norm_;
  Linear qkv_, proj_;
  AttentionProducts products_;
};

/// (N, H, W, C) -> (N rows columns, window^2, C): windows of a map padded with zeros at the bottom and the
/// right up to whole windows.
Var partition_windows(const Var& x, int64_t window);
/// The reverse, for a map of height x width: padding is cut off.
Var join_windows(const Var& windows, int64_t window, int64_t height, int64_t width);

}  // namespace lathe
