#include "models/demucs.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/resample.h"
#include "autograd/ops/shape.h"

namespace lathe {
namespace {

// PyTorch's first values of a convolution, weight and bias divided by the same factor afterwards: the weight
// is drawn first and leaves the factor to the bias.
struct FirstValues {
  Initializer weight, bias;
};

FirstValues first_values(int64_t fan_in, double rescale) {
  const Initializer draw = init::fan_in_uniform(fan_in);
  if (rescale == 0) return {draw, draw};
  const auto factor = std::make_shared<double>(1);
  const auto divide = [factor](Tensor& tensor) {
    float* x = tensor.mut<float>();
    for (int64_t i = 0; i < tensor.numel(); ++i) x[i] = static_cast<float>(double{x[i]} / *factor);
  };
  return {[draw, factor, rescale, divide](Tensor& tensor, const Philox& philox) {
            draw(tensor, philox);
            *factor = rescale_factor(tensor, rescale);
            divide(tensor);
          },
          [draw, divide](Tensor& tensor, const Philox& philox) {
            draw(tensor, philox);
            divide(tensor);
          }};
}

Conv1dOptions conv_options(const DemucsOptions& options, int64_t in, int64_t kernel, int64_t stride,
                           int64_t pad = 0) {
  const FirstValues first = first_values(in * kernel, options.rescale);
  return {
      .kernel = kernel, .stride = stride, .pad = pad, .weight_init = first.weight, .bias_init = first.bias};
}

ConvTranspose1dOptions transpose_options(const DemucsOptions& options, int64_t out) {
  const FirstValues first = first_values(out * options.kernel, options.rescale);
  return {.kernel = options.kernel,
          .stride = options.stride,
          .weight_init = first.weight,
          .bias_init = first.bias};
}

int64_t widened(const DemucsOptions& options, int64_t channels) {
  return options.glu ? 2 * channels : channels;
}

Var gate(bool with_glu, const Var& x) {
  return with_glu ? glu(x) : relu(x);
}

int64_t ceil_div(int64_t a, int64_t b) {
  return a >= 0 ? (a + b - 1) / b : -(-a / b);
}

}  // namespace

double rescale_factor(const Tensor& weight, double reference) {
  const int64_t n = weight.numel();
  if (n < 2) return 1;
  const Tensor values = weight.to(DType::F64);
  double mean = 0, squares = 0;
  for (const double w : values.span<double>()) mean += w;
  mean /= static_cast<double>(n);
  for (const double w : values.span<double>()) squares += (w - mean) * (w - mean);
  const double std = std::sqrt(squares / static_cast<double>(n - 1));
  return std > 0 ? std::sqrt(std / reference) : 1;
}

Var linear_upsample(const Var& x, int64_t stride) {
  const int64_t n = x.dim(0), gaps = x.dim(1) - 1, c = x.dim(2);
  const Var left = slice(x, 1, 0, gaps), right = slice(x, 1, 1, -1);
  std::vector<Var> points;
  for (int64_t j = 0; j < stride; ++j) {
    const double t = static_cast<double>(j) / static_cast<double>(stride);
    points.push_back(reshape(add(scale(left, 1 - t), scale(right, t)), {n, gaps, 1, c}));
  }
  return reshape(concat(points, 2), {n, gaps * stride, c});
}

Demucs::Encoder::Encoder(Module& parent, std::string name, const DemucsOptions& options, int64_t in,
                         int64_t out)
    : Module(parent, std::move(name)),
      glu(options.glu),
      conv(*this, "0", in, out,
           conv_options(options, in, options.kernel, options.upsample ? 1 : options.stride)) {
  if (options.rewrite)
    rewrite.emplace(*this, "2", out, widened(options, out), conv_options(options, out, 1, 1));
}

Var Demucs::Encoder::operator()(const Var& x) {
  const Var y = relu(conv(x));
  return rewrite ? gate(glu, (*rewrite)(y)) : y;
}

Demucs::Decoder::Decoder(Module& parent, std::string name, const DemucsOptions& options, int64_t in,
                         int64_t out, bool is_last)
    : Module(parent, std::move(name)), glu(options.glu), last(is_last) {
  if (options.rewrite) {
    const int64_t pad = options.pad_context ? options.context / 2 : 0;
    rewrite.emplace(*this, "0", in, widened(options, in), conv_options(options, in, options.context, 1, pad));
  }
  const std::string second = options.rewrite ? "2" : "0";
  if (options.upsample) {
    conv.emplace(*this, second, in, out, conv_options(options, in, options.kernel, 1));
  } else {
    transpose.emplace(*this, second, in, out, transpose_options(options, out));
  }
}

Var Demucs::Decoder::operator()(const Var& x) {
  const Var y = rewrite ? gate(glu, (*rewrite)(x)) : x;
  const Var z = conv ? (*conv)(y) : (*transpose)(y);
  return last ? z : relu(z);
}

Demucs::Blstm::Blstm(Module& parent, std::string name, int64_t width, int64_t layers)
    : Module(parent, std::move(name)),
      lstm(*this, "lstm", width, width, {.layers = layers, .bidirectional = true}),
      linear(*this, "linear", 2 * width, width) {}

Demucs::Demucs(const DemucsOptions& options, const RootOptions& root)
    : SeparationModel(root), options_(options), encoder_(*this, "encoder"), decoder_(*this, "decoder") {
  LATHE_CHECK(ConfigError, !options.pad_context || options.context % 2 == 1,
              "demucs: 'pad_context' needs an odd 'context', found ", options.context);
  LATHE_CHECK(ConfigError, !options.upsample || options.version == 1,
              "demucs: 'upsample' belongs to version 1, 'version' is ", options.version);
  const int64_t outputs = options.sources * options.audio_channels;
  std::vector<int64_t> widths{options.audio_channels};
  double channels = static_cast<double>(options.channels);
  for (int64_t i = 0; i < options.depth; ++i) {
    constexpr double kMost = 1 << 20;
    LATHE_CHECK(ConfigError, channels >= 1 && channels <= kMost, "demucs: level ", i, " would have ",
                channels, " channels: see 'channels', 'growth' and 'depth'");
    widths.push_back(static_cast<int64_t>(channels));
    channels = std::trunc(options.growth * static_cast<double>(widths.back()));
  }
  for (size_t i = 0; i + 1 < widths.size(); ++i) encoder_.emplace(options, widths[i], widths[i + 1]);
  for (size_t i = widths.size() - 1; i > 0; --i) {
    const bool last = i == 1;
    const int64_t out = !last ? widths[i - 1] : options.upsample ? options.channels : outputs;
    decoder_.emplace(options, widths[i], out, last);
  }
  if (options.lstm_layers > 0) lstm_.emplace(*this, "lstm", widths.back(), options.lstm_layers);
  if (options.upsample) {
    const int64_t in = options.channels + options.audio_channels;
    final_.emplace(*this, "final", in, outputs, conv_options(options, in, 1, 1));
  }
}

Var Demucs::separate(const Var& mixture) {
  expect_mixture(mixture);
  const int64_t least = valid_length(1);
  LATHE_CHECK(ShapeError, mixture.dim(1) >= least, "demucs: ", mixture.dim(1),
              " samples are too short for depth ", options_.depth, ", expected at least ", least);
  Var x = resamples() ? resample(mixture, 1, 2) : mixture;
  std::vector<Var> skips{x};
  for (const auto& encode : encoder_) {
    x = (*encode)(x);
    skips.push_back(x);
    if (options_.upsample) x = slice(x, 1, 0, -1, options_.stride);
  }
  if (lstm_) x = (*lstm_)(x);
  for (const auto& decode : decoder_) {
    if (options_.upsample) x = linear_upsample(x, options_.stride);
    x = (*decode)(add(x, center_trim(skips.back(), 1, x.dim(1))));
    skips.pop_back();
  }
  if (final_) x = (*final_)(concat({x, center_trim(skips.back(), 1, x.dim(1))}, 2));
  if (resamples()) x = resample(x, 2, 1);
  return reshape(x, {x.dim(0), x.dim(1), options_.sources, options_.audio_channels});
}

int64_t Demucs::valid_length(int64_t length) const {
  const int64_t kernel = options_.kernel, stride = options_.stride;
  if (resamples()) length *= 2;
  for (int64_t i = 0; i < options_.depth; ++i) {
    if (options_.upsample) {
      length = ceil_div(length, stride) + kernel - 1;
    } else {
      length = ceil_div(length - kernel, stride) + 1;
      if (options_.version == 2) length = std::max<int64_t>(1, length);
    }
    if (!options_.pad_context)
      length += options_.context - 1;  // the original counts it without 'rewrite' too
  }
  for (int64_t i = 0; i < options_.depth; ++i)
    length = options_.upsample ? length * stride + kernel - 1 : (length - 1) * stride + kernel;
  return resamples() ? ceil_div(length, 2) : length;
}

}  // namespace lathe
