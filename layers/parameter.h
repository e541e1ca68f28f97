#pragma once
// Trainable tensors, buffers, and the seam where quantizers plug in.

#include <functional>
#include <memory>
#include <string>

#include "autograd/var.h"
#include "core/philox.h"
#include "layers/module.h"

namespace lathe {

/// What attach rules match.
enum class Kind : uint8_t { Weight, Bias, Norm, Embedding };
/// What optimizer groups select.
enum class Role : uint8_t { Weight, Scale, Bits, DeadZone };
/// How the shape relates to PyTorch's, for import and export only.
enum class Axes : uint8_t {
  Plain,          ///< the same
  ConvWeight,     ///< ours (out, k..., in / groups), theirs (out, in / groups, k...)
  ConvTranspose,  ///< ours (in, k..., out / groups), theirs (in, out / groups, k...)
};

std::string_view to_string(Kind kind);
std::string_view to_string(Role role);

/// Fills a fresh host tensor; draws come from the given stream, so a value depends on (seed, name) only.
using Initializer = std::function<void(Tensor& tensor, const Philox& philox)>;

struct ParameterSpec {
  Shape shape;
  Kind kind = Kind::Weight;
  Initializer init;
  Axes axes = Axes::Plain;
  Role role = Role::Weight;
};

/// Maps the raw weight to what the model multiplies with: the seam quant/ plugs into.
class Parametrization {
 public:
  virtual ~Parametrization() = default;
  /// Records ops on `raw`. `stream` is the parameter's named Philox stream: a noise element is
  /// Philox{run.seed, stream, run.step}.uniform(i).
  virtual Var apply(const Var& raw, const RunState& run, uint32_t stream) = 0;
  /// False: value() stays raw in training and only regularisers see quantized() (oscillation training).
  virtual bool in_training_forward() const { return true; }
};

/// A named trainable tensor. Tied parameters share one body: raw value, parametrization, memo and optimiser
/// slot.
class Parameter {
 public:
  Parameter(Module& owner, std::string name, const ParameterSpec& spec);
  Parameter(const Parameter&) = delete;
  Parameter& operator=(const Parameter&) = delete;
  ~Parameter();

  const std::string& name() const { return name_; }
  std::string path() const;  ///< "layer1.0.conv1.weight"
  Module& module() const { return module_; }
  Kind kind() const;  ///< the owner's for tied tensors, like everything below
  Role role() const;
  Axes axes() const;
  const Shape& shape() const { return raw().shape(); }
  int64_t numel() const { return raw().data().numel(); }

  /// What layers multiply with: raw() without a parametrization. Evaluated once per forward
  /// (RunState::forward), whatever the number of uses, under the caller's gradient mode in evaluation and
  /// with gradients in training.
  const Var& value();
  /// The parametrised weight even where value() is raw; raw() without a parametrization.
  const Var& quantized();
  /// What the optimiser updates.
  const Var& raw() const;

  /// Makes this parameter the same as `to`; ShapeError if shapes differ.
  void tie(Parameter& to);
  /// The parameter whose tensor this is: itself unless tied.
  const Parameter& owner() const;
  bool tied() const { return &owner() != this; }

  void parametrize(std::shared_ptr<Parametrization> parametrization);
  const std::shared_ptr<Parametrization>& parametrization() const;
  uint32_t stream() const;

 private:
  struct Body;
  const Var& evaluate();

  Module& module_;
  std::string name_;
  std::shared_ptr<Body> body_;
};

/// A named tensor that is state but not trained (running statistics).
class Buffer {
 public:
  Buffer(Module& owner, std::string name, const Shape& shape, double value);
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  const std::string& name() const { return name_; }
  std::string path() const;
  Module& module() const { return module_; }
  Tensor& data() { return data_; }
  const Tensor& data() const { return data_; }

 private:
  Module& module_;
  std::string name_;
  Tensor data_;
};

}  // namespace lathe
