#pragma once
// Demucs v1 and v2 (Défossez et al. 2019; facebookresearch/demucs): a U-Net of strided convolutions over the
// waveform around a bidirectional LSTM.

#include <optional>

#include "core/fields.h"
#include "layers/conv1d.h"
#include "layers/linear.h"
#include "layers/lstm.h"
#include "layers/separation_model.h"

namespace lathe {

struct DemucsOptions {
  int64_t version = 2;
  int64_t sources = 4;
  int64_t audio_channels = 2;
  int64_t channels = 64;
  int64_t depth = 6;
  int64_t lstm_layers = 2;
  bool resample = true;
  bool upsample = false;
  bool glu = true;
  bool rewrite = true;
  double growth = 2;
  int64_t context = 3;
  bool pad_context = false;
  int64_t kernel = 8;
  int64_t stride = 4;
  double rescale = 0.1;

  void fields(FieldVisitor& v) {
    v.visit("version", version, {.doc = "of the published code: 1 or 2", .min = 1, .max = 2});
    v.visit("sources", sources, {.doc = "sources of a mixture", .min = 1});
    v.visit("audio_channels", audio_channels, {.doc = "of mixture and sources: 2 for stereo", .min = 1});
    v.visit("channels", channels, {.doc = "of the first level (version 1's paper has 100)", .min = 1});
    v.visit("depth", depth, {.doc = "levels of encoder and decoder", .min = 1, .max = 20});
    v.visit("lstm_layers", lstm_layers, {.doc = "bidirectional layers at the bottom; 0: none", .min = 0});
    v.visit("resample", resample, {.doc = "works at twice the sample rate; of version 2 only"});
    v.visit("upsample", upsample,
            {.doc = "decimation and linear interpolation in place of strides; of version 1 only"});
    v.visit("glu", glu, {.doc = "gated linear units behind the rewrites; else relu"});
    v.visit("rewrite", rewrite,
            {.doc = "a 1x1 convolution in each encoder, one of 'context' in each decoder"});
    v.visit("growth", growth, {.doc = "of the channels from level to level", .min = 0, .above_min = true});
    v.visit("context", context, {.doc = "width of the decoders' first convolution", .min = 1});
    v.visit("pad_context", pad_context,
            {.doc = "pads that convolution, so that no frame is lost; not in the original"});
    v.visit("kernel", kernel, {.doc = "width of the strided convolutions", .min = 1});
    v.visit("stride", stride, {.doc = "of the strided convolutions", .min = 1});
    v.visit("rescale", rescale,
            {.doc = "standard deviation that first weights are drawn towards; 0: PyTorch's stay", .min = 0});
  }
};

/// sqrt(std / reference), std being the unbiased one: what weight and bias of a convolution are divided by
/// before training. 1 for fewer than two values.
double rescale_factor(const Tensor& weight, double reference);

/// Its tensors have the original's names: encoder.0 is the first level, decoder.0 the deepest.
class Demucs : public SeparationModel {
 public:
  Demucs(const DemucsOptions& options, const RootOptions& root);
  const char* type() const override { return "Demucs"; }

  Var separate(const Var& mixture) override;
  int64_t valid_length(int64_t length) const override;
  int64_t sources() const override { return options_.sources; }
  int64_t channels() const override { return options_.audio_channels; }

 private:
  struct Encoder : Module {
    Encoder(Module& parent, std::string name, const DemucsOptions& options, int64_t in, int64_t out);
    Var operator()(const Var& x);
    bool glu;
    Conv1d conv;
    std::optional<Conv1d> rewrite;
  };
  struct Decoder : Module {
    Decoder(Module& parent, std::string name, const DemucsOptions& options, int64_t in, int64_t out,
            bool last);
    Var operator()(const Var& x);
    bool glu, last;
    std::optional<Conv1d> rewrite;
    std::optional<ConvTranspose1d> transpose;
    std::optional<Conv1d> conv;  ///< in its place with `upsample`
  };
  struct Blstm : Module {
    Blstm(Module& parent, std::string name, int64_t width, int64_t layers);
    Var operator()(const Var& x) { return linear(lstm(x)); }
    Lstm lstm;
    Linear linear;
  };

  bool resamples() const { return options_.version == 2 && options_.resample; }

  DemucsOptions options_;
  ModuleList<Encoder> encoder_;
  ModuleList<Decoder> decoder_;
  std::optional<Blstm> lstm_;
  std::optional<Conv1d> final_;
};

/// Each gap between neighbours of x (N, T, C) becomes `stride` points on a line; the last sample is left out:
/// (N, stride (T - 1), C).
Var linear_upsample(const Var& x, int64_t stride);

}  // namespace lathe
