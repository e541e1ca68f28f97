#include "train/weights.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <string_view>

#include "core/error.h"
#include "core/fields.h"
#include "core/kernels/shape.h"
#include "layers/model.h"
#include "layers/parameter.h"
#include "quant/quantizer.h"
#include "train/published_layouts.h"
#include "train/published_names.h"

namespace lathe {
namespace {

/// Axis 1 of theirs is the last of ours: (out, k..., in / groups) and (out, in / groups, k...).
std::vector<int> axes_to_theirs(int rank) {
  std::vector<int> axes = {0, rank - 1};
  for (int axis = 1; axis + 1 < rank; ++axis) axes.push_back(axis);
  return axes;
}

std::vector<int> axes_to_ours(int rank) {
  std::vector<int> axes = {0};
  for (int axis = 2; axis < rank; ++axis) axes.push_back(axis);
  axes.push_back(1);
  return axes;
}

Shape permuted(const Shape& shape, const std::vector<int>& axes) {
  std::vector<int64_t> dims;
  for (const int axis : axes) dims.push_back(shape[axis]);
  return Shape(dims);
}

Tensor permute(const Tensor& x, const std::vector<int>& axes) {
  Tensor y = x.empty_like(permuted(x.shape(), axes));
  kernels::permute(y, x, axes);
  return y;
}

Shape their_shape(const Shape& ours, Axes axes) {
  return axes == Axes::Plain ? ours : permuted(ours, axes_to_theirs(ours.rank()));
}

/// A place of the model that a tensor fills.
struct Place {
  std::string name;
  const Parameter* parameter;  // null: a buffer
  Buffer* buffer;
  Axes axes;

  const Tensor& current() const { return parameter != nullptr ? parameter->raw().data() : buffer->data(); }
  bool tied() const { return parameter != nullptr && parameter->tied(); }
};

std::vector<Place> places_of(const Module& model) {
  std::vector<Place> places;
  for (const Parameter* parameter : model.parameters()) {
    if (parameter->role() != Role::Weight) continue;  // a quantizer's
    places.push_back({parameter->path(), parameter, nullptr, parameter->axes()});
  }
  for (Buffer* buffer : model_buffers(model))
    places.push_back({buffer->path(), nullptr, buffer, Axes::Plain});
  return places;
}

/// Matches given tensors with a model's places, and collects everything that does not fit.
class Matching {
 public:
  Matching(const Module& module, const std::vector<Place>& places, std::span<const NamedTensor> tensors)
      : model_(dynamic_cast<const Model*>(&module)), places_(places) {
    for (const NamedTensor& tensor : tensors) {
      if (!is_derived(tensor.name)) given_.emplace(tensor.name, &tensor.tensor);
    }
    for (const Place& place : places) match(place);
    for (const auto& [name, tensor] : given_) {
      if (!used_.contains(name)) unexpected(name, tensor->shape());
    }
  }

  /// FormatError naming the first problems, if there are any.
  void check(const std::string& source) const {
    if (texts_.empty()) return;
    std::string list;
    for (const std::string& text : texts_) list += concat(list.empty() ? "" : "; ", text);
    if (!others_.empty()) list += concat("; and ", others_.size(), " more: ");
    for (const std::string& name : others_)
      list += concat(&name == &others_.front() ? "'" : ", '", name, "'");
    LATHE_THROW(FormatError, source, ": the weights do not fit the model: ", list);
  }
  /// The given tensor of each place; null at tied names that are absent.
  const std::vector<const Tensor*>& found() const { return found_; }

 private:
  bool has_place(std::string_view name) const {
    return std::any_of(places_.begin(), places_.end(),
                       [&](const Place& place) { return place.name == name; });
  }

  /// A tensor beside one of ours that no formula of ours reads: PyTorch's count of batches, and the places in
  /// a table of relative positions.
  bool is_derived(const std::string& name) const {
    constexpr std::pair<std::string_view, std::string_view> kDerived[] = {
        {"num_batches_tracked", "running_mean"}, {"attention_bias_idxs", "attention_biases"}};
    return std::any_of(std::begin(kDerived), std::end(kDerived), [&](const auto& row) {
      return name.ends_with(row.first) &&
             has_place(concat(name.substr(0, name.size() - row.first.size()), row.second));
    });
  }

  void match(const Place& place) {
    const auto it = given_.find(place.name);
    const Tensor* tensor = it == given_.end() ? given_alias(place) : it->second;
    const Shape wanted = their_shape(place.current().shape(), place.axes);
    if (tensor != nullptr && tensor->shape() != wanted) tensor = fitted(place, *tensor);
    found_.push_back(tensor);
    if (tensor == nullptr) {
      if (!place.tied()) missing(place.name, wanted);
      return;
    }
    used_.insert(place.name);
    if (tensor->shape() != wanted) {
      problem(place.name, [&] {
        return concat("'", place.name, "' has shape ", tensor->shape(), ", the model expects ", wanted);
      });
    } else if (!is_floating(tensor->dtype())) {
      problem(place.name,
              [&] { return concat("'", place.name, "' holds ", tensor->dtype(), ", not real numbers"); });
    }
    if (!place.tied()) return;
    const auto owner = given_.find(place.parameter->owner().path());
    if (owner != given_.end() && !same_bits(*owner->second, *tensor)) {
      problem(place.name, [&] {
        return concat("'", place.name, "' differs from '", owner->first, "', to which it is tied");
      });
    }
  }

  /// What is given under another name of the same parameter.
  const Tensor* given_alias(const Place& place) const {
    if (place.parameter == nullptr || place.tied()) return nullptr;
    for (const Place& other : places_) {
      if (!other.tied() || &other.parameter->owner() != place.parameter) continue;
      const auto it = given_.find(other.name);
      if (it != given_.end()) return it->second;
    }
    return nullptr;
  }

  void missing(const std::string& name, const Shape& wanted) {
    problem(name, [&] {
      std::vector<std::string> others;
      for (const auto& [other, tensor] : given_) {
        if (!has_place(other)) others.push_back(other);
      }
      const std::string near = nearest(name, others);
      return concat("'", name, "' of shape ", wanted, " is missing",
                    near.empty() ? "" : concat(" (there is '", near, "')"));
    });
  }

  void unexpected(const std::string& name, const Shape& shape) {
    problem(name, [&] {
      std::vector<std::string> names;
      for (const Place& place : places_) names.push_back(place.name);
      const std::string near = nearest(name, names);
      return concat("'", name, "' of shape ", shape, " is not in the model",
                    near.empty() ? "" : concat(" (which has '", near, "')"));
    });
  }

  /// The first problems are put into words, the others named.
  template <class Text>
  void problem(const std::string& name, Text text) {
    constexpr size_t kInWords = 8;
    if (texts_.size() < kInWords) {
      texts_.push_back(text());
    } else {
      others_.push_back(name);
    }
  }

  /// What the model makes of a tensor of another shape; the tensor itself where it knows nothing.
  const Tensor* fitted(const Place& place, const Tensor& tensor) {
    if (model_ == nullptr || place.parameter == nullptr || !is_floating(tensor.dtype())) return &tensor;
    Tensor fitting = model_->fitted(*place.parameter, tensor);
    return fitting.defined() ? &fitted_.emplace_back(std::move(fitting)) : &tensor;
  }

  const Model* model_;  // null where the module is none
  const std::vector<Place>& places_;
  std::map<std::string, const Tensor*> given_;
  std::set<std::string> used_;
  std::vector<const Tensor*> found_;
  std::deque<Tensor> fitted_;
  std::vector<std::string> texts_, others_;
};

/// Without what wraps every name, unless the model has such a module.
std::vector<NamedTensor> unwrapped(const std::vector<Place>& places, std::span<const NamedTensor> tensors) {
  const std::string_view prefix = wrapper_prefix(tensors);
  const std::string_view outer = prefix.substr(0, prefix.find('.') + 1);
  const bool own = !prefix.empty() && std::any_of(places.begin(), places.end(), [&](const Place& place) {
    return place.name.starts_with(outer);
  });
  std::vector<NamedTensor> result;
  for (const NamedTensor& tensor : tensors)
    result.push_back({tensor.name.substr(own ? 0 : prefix.size()), tensor.tensor});
  return result;
}

/// A tensor of the model's own that holds what PyTorch's does.
Tensor to_ours(const Tensor& theirs, const Place& place) {
  const Tensor& current = place.current();
  Tensor ours = theirs.to(current.dtype()).to(current.device());
  if (place.axes != Axes::Plain) return permute(ours, axes_to_ours(ours.rank()));
  return ours.shares_storage(theirs) ? ours.clone() : ours;
}

}  // namespace

std::vector<NamedTensor> to_pytorch(const Module& model) {
  std::vector<NamedTensor> tensors;
  for (const Place& place : places_of(model)) {
    const Tensor ours = place.current().to(Device::cpu());
    tensors.push_back(
        {place.name, place.axes == Axes::Plain ? ours : permute(ours, axes_to_theirs(ours.rank()))});
  }
  for (NamedTensor& mark : marks_of_the_original(model)) tensors.push_back(std::move(mark));
  return tensors;
}

void from_pytorch(Module& model, std::span<const NamedTensor> given, const std::string& source) {
  const std::vector<Place> places = places_of(model);
  const std::vector<NamedTensor> named = with_our_names(in_our_layout(model, unwrapped(places, given)));
  const Matching matching(model, places, named);
  matching.check(source);
  std::vector<Tensor> fresh;
  for (size_t i = 0; i < places.size(); ++i) {
    fresh.push_back(places[i].tied() ? Tensor() : to_ours(*matching.found()[i], places[i]));
  }
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i].tied()) continue;
    if (places[i].parameter != nullptr) {
      places[i].parameter->raw().set_data(fresh[i]);
    } else {
      places[i].buffer->data() = fresh[i];
    }
  }
}

void export_weights(const Module& model, const std::filesystem::path& path) {
  write_safetensors(path, to_pytorch(model), {{"format", "pt"}});
}

void import_weights(Module& model, const std::filesystem::path& path) {
  from_pytorch(model, read_safetensors(path).tensors, path.string());
}

}  // namespace lathe
