// Convolutions by cuDNN, the only file that knows it. Through its graph interface (version 9): the older
// per-operation calls are deprecated, know bf16 for some layouts only and do not reach the kernels of newer
// devices.

#include "cuda/convolution.h"

#include <map>
#include <mutex>
#include <vector>

#include <cudnn.h>

#include "core/tensor.h"
#include "cuda/runtime.h"

namespace lathe::cuda {
namespace {

constexpr int64_t kMostWorkspace = int64_t{1} << 30;
constexpr int64_t kX = 'x', kWeights = 'w', kY = 'y';  ///< names of the tensors in a graph

void check(cudnnStatus_t status, const char* call) {
  LATHE_CHECK(CudaError, status == CUDNN_STATUS_SUCCESS, "cuDNN: ", call, ": ", cudnnGetErrorString(status));
}
#define LATHE_DNN_CHECK(call) check((call), #call)

/// A descriptor of the library. After a call that fails, the later ones do nothing and finalize() is false:
/// what the library refuses is a convolution that it does not have, which is no error.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    status_ = cudnnBackendCreateDescriptor(type, owned_.out());
  }

  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T* values,
                  int64_t count) {
    if (status_ == CUDNN_STATUS_SUCCESS)
      status_ = cudnnBackendSetAttribute(owned_, name, type, count, values);
    return *this;
  }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T& value) {
    return set(name, type, &value, 1);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    const cudnnBackendDescriptor_t descriptor = value.get();
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, &descriptor, 1);
  }
  bool finalize() {
    if (status_ == CUDNN_STATUS_SUCCESS) status_ = cudnnBackendFinalize(owned_);
    return status_ == CUDNN_STATUS_SUCCESS;
  }
  /// How many values were read into `values`; -1 if the attribute cannot be read.
  template <class T>
  int64_t read(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, T* values,
               int64_t most) const {
    int64_t count = 0;
    const cudnnStatus_t status = cudnnBackendGetAttribute(owned_, name, type, most, &count, values);
    return status == CUDNN_STATUS_SUCCESS ? count : -1;
  }
  cudnnBackendDescriptor_t get() const { return owned_; }

 private:
  Owned<cudnnBackendDescriptor_t, cudnnBackendDestroyDescriptor> owned_;
  cudnnStatus_t status_ = CUDNN_STATUS_SUCCESS;
};

/// Kernels depend on addresses through their alignment only: how many bytes, up to 16, divide an address.
int64_t alignment(const void* address) {
  const auto bits = reinterpret_cast<uintptr_t>(address) | 16;
  return static_cast<int64_t>(bits & (~bits + 1));
}

struct Key {
  Convolution convolution;
  int64_t x = 0, weights = 0, y = 0;  ///< alignments

  auto operator<=>(const Key&) const = default;
};

struct Plan {
  Descriptor plan;
  int64_t workspace = 0;
  bool found = false;
};

/// Of (n, h, w, c) in memory, which the library calls (n, c, h, w) with the strides of that.
Descriptor tensor(int64_t name, DType dtype, int64_t aligned, std::array<int64_t, 4> nhwc) {
  const auto [n, h, w, c] = nhwc;
  const int64_t extents[] = {n, c, h, w}, strides[] = {h * w * c, 1, w * c, c};
  Descriptor made(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  made.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, name)
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE,
           dtype == DType::BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, aligned)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, extents, 4)
      .set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, strides, 4);
  return made;
}

Descriptor window(const Convolution& p) {
  Descriptor made(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  made.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, int64_t{2})
      .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION)
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, p.pad.data(), 2)
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, p.pad.data(), 2)
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, p.stride.data(), 2)
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, p.dilation.data(), 2);
  return made;
}

/// How the library names an operation and its parts.
struct Operation {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t x, weights, y, window, alpha, beta;
};
Operation operation_of(Convolution::Result result) {
  switch (result) {
    case Convolution::Result::Y:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case Convolution::Result::X:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case Convolution::Result::Weights:
      break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
}

/// What a plan is made of. The library may read parts of a descriptor after it was finalized into another:
/// all of them live until the plan is made. The number of groups is c over the channels of the weights.
struct Graph {
  Descriptor x, weights, y, convolution, operation, graph;

  bool build(cudnnHandle_t handle, const Key& key) {
    const Convolution& p = key.convolution;
    x = tensor(kX, p.dtype, key.x, {p.n, p.h, p.w, p.c});
    weights = tensor(kWeights, p.dtype, key.weights, {p.k, p.kh, p.kw, p.c / p.groups});
    y = tensor(kY, p.dtype, key.y, {p.n, p.oh, p.ow, p.k});
    convolution = window(p);
    if (!x.finalize() || !weights.finalize() || !y.finalize() || !convolution.finalize()) return false;
    const Operation names = operation_of(p.result);
    operation = Descriptor(names.type);
    operation.set(names.x, x).set(names.weights, weights).set(names.y, y).set(names.window, convolution);
    operation.set(names.alpha, CUDNN_TYPE_FLOAT, 1.0f).set(names.beta, CUDNN_TYPE_FLOAT, 0.0f);
    if (!operation.finalize()) return false;
    graph = Descriptor(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle)
        .set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
    return graph.finalize();
  }
};

/// Whether the engine adds the products themselves: no transform of Winograd's or Fourier's, which cost
/// accuracy, no sums in less than f32, for true f32 no tensor core, which rounds the operands, and, if
/// deterministic, no order that depends on scheduling.
bool fits(const Descriptor& configuration, const Convolution& p) {
  const Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t address = engine.get();
  if (configuration.read(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, &address, 1) != 1)
    return false;
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  const int64_t count = engine.read(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, notes,
                                    CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  if (count < 0) return false;
  for (int64_t i = 0; i < count; ++i) {
    switch (notes[i]) {
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
      case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
        if (p.dtype == DType::F32 && !p.tf32) return false;
        break;
      case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
        if (p.deterministic) return false;
        break;
      case CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP:
        break;
      default:
        return false;
    }
  }
  return true;
}

std::vector<Descriptor> configurations(const Graph& graph, cudnnBackendHeurMode_t mode) {
  Descriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.graph)
      .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
  if (!heuristic.finalize()) return {};
  cudnnBackendDescriptor_t* none = nullptr;
  const int64_t count = heuristic.read(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, none, 0);
  if (count <= 0) return {};
  std::vector<Descriptor> found;
  std::vector<cudnnBackendDescriptor_t> addresses;
  for (int64_t i = 0; i < count; ++i) {
    found.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    addresses.push_back(found.back().get());
  }
  const int64_t filled =
      heuristic.read(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, addresses.data(), count);
  found.resize(static_cast<size_t>(std::max<int64_t>(filled, 0)));
  return found;
}

/// The first configuration of the heuristic, then of the library's list of those that fit everything, that
/// fits and can be built. Nothing is timed.
Plan find_plan(cudnnHandle_t handle, const Key& key) {
  Plan plan;
  Graph graph;
  if (!graph.build(handle, key)) return plan;
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    for (const Descriptor& configuration : configurations(graph, mode)) {
      if (!fits(configuration, key.convolution)) continue;
      plan.plan = Descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, handle)
          .set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
      if (!plan.plan.finalize()) continue;
      const int64_t read =
          plan.plan.read(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, &plan.workspace, 1);
      plan.found = read == 1 && plan.workspace <= kMostWorkspace;
      if (plan.found) return plan;
    }
  }
  return plan;
}

/// One of each per device, never destroyed (see DeviceState).
struct Library {
  cudnnHandle_t handle = nullptr;
  std::map<Key, Plan> plans;

  const Plan& plan(const Key& key) {
    const auto known = plans.find(key);
    if (known != plans.end()) return known->second;
    return plans.emplace(key, find_plan(handle, key)).first->second;
  }
};

std::mutex mutex;

Library& library() {
  static auto* of_device = new std::map<int, Library>;
  Library& found = (*of_device)[current().index];
  if (found.handle == nullptr) {
    LATHE_DNN_CHECK(cudnnCreate(&found.handle));
    LATHE_DNN_CHECK(cudnnSetStream(found.handle, compute_stream()));
  }
  return found;
}

}  // namespace

bool convolution(const Convolution& problem, void* x, void* weights, void* y) {
  LATHE_ASSERT(problem.dtype == DType::F32 || problem.dtype == DType::BF16);
  const Key key{problem, alignment(x), alignment(weights), alignment(y)};
  const std::lock_guard lock(mutex);
  Library& dnn = library();
  const Plan& plan = dnn.plan(key);
  if (!plan.found) return false;
  Tensor workspace;
  if (plan.workspace > 0) workspace = Tensor::empty({plan.workspace}, DType::U8, current_device());
  void* const scratch = workspace.defined() ? workspace.raw_mut() : nullptr;
  const int64_t names[] = {kX, kWeights, kY};
  void* const addresses[] = {x, weights, y};
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, names, 3)
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, addresses, 3)
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, scratch);
  LATHE_CHECK(CudaError, pack.finalize(), "cuDNN: a plan's addresses were refused");
  LATHE_DNN_CHECK(cudnnBackendExecute(dnn.handle, plan.plan.get(), pack.get()));
  return true;
}

}  // namespace lathe::cuda
