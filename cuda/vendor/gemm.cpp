// Matrix products by cuBLASLt, the only file that knows it.

#include "cuda/gemm.h"

#include <map>
#include <mutex>

#include <cublasLt.h>

#include "core/tensor.h"
#include "cuda/runtime.h"

namespace lathe::cuda {
namespace {

constexpr uint64_t kMostWorkspace = uint64_t{32} << 20;
constexpr int kCandidates = 8;

void check(cublasStatus_t status, const char* call) {
  LATHE_CHECK(CudaError, status == CUBLAS_STATUS_SUCCESS, "cuBLASLt: ", call, ": ",
              cublasLtGetStatusName(status));
}
#define LATHE_BLAS_CHECK(call) check((call), #call)

/// Algorithms depend on addresses through their alignment only: how many bytes, up to 16, divide an address.
uint32_t alignment(const void* address) {
  const auto bits = reinterpret_cast<uintptr_t>(address) | 16;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

struct Key {
  Gemm gemm;
  uint32_t y = 0, a = 0, b = 0, bias = 0;  ///< alignments

  auto operator<=>(const Key&) const = default;
};

struct Types {
  cudaDataType_t in, out, scale;
  cublasComputeType_t compute;
};
Types types_of(const Gemm& gemm) {
  if (gemm.in == DType::F64) return {CUDA_R_64F, CUDA_R_64F, CUDA_R_64F, CUBLAS_COMPUTE_64F};
  if (gemm.in == DType::BF16) {
    const auto out = gemm.out == DType::BF16 ? CUDA_R_16BF : CUDA_R_32F;
    return {CUDA_R_16BF, out, CUDA_R_32F, CUBLAS_COMPUTE_32F};
  }
  LATHE_ASSERT(gemm.in == DType::F32);
  const auto compute = gemm.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  return {CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, compute};
}

using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Description = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

/// cuBLASLt's matrices are column-major: what is stored as (rows, columns) here is (columns, rows) there, and
/// y^T = op(b)^T op(a)^T. Its first operand is our b, its second our a; a bias runs along its rows.
struct Plan {
  Description description;
  Layout first, second, result;
  cublasLtMatmulAlgo_t algorithm{};
  size_t workspace = 0;
  bool found = false;
};

template <class T>
void set(const Description& description, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  LATHE_BLAS_CHECK(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof value));
}
template <class T>
void set(const Layout& layout, cublasLtMatrixLayoutAttribute_t attribute, const T& value) {
  LATHE_BLAS_CHECK(cublasLtMatrixLayoutSetAttribute(layout, attribute, &value, sizeof value));
}
template <class T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  LATHE_BLAS_CHECK(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value));
}

/// Of a matrix stored row-major as (rows, columns).
Layout layout(cudaDataType_t type, int64_t rows, int64_t columns, int64_t ld, const Gemm& gemm,
              int64_t stride) {
  Layout made;
  LATHE_BLAS_CHECK(cublasLtMatrixLayoutCreate(made.out(), type, static_cast<uint64_t>(columns),
                                              static_cast<uint64_t>(rows), ld));
  if (gemm.batch > 1) {
    set(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<int32_t>(gemm.batch));
    set(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride);
  }
  return made;
}

Plan describe(const Gemm& gemm, const void* bias) {
  const Types types = types_of(gemm);
  Plan plan;
  LATHE_BLAS_CHECK(cublasLtMatmulDescCreate(plan.description.out(), types.compute, types.scale));
  set(plan.description, CUBLASLT_MATMUL_DESC_TRANSA, gemm.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(plan.description, CUBLASLT_MATMUL_DESC_TRANSB, gemm.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (gemm.bias) {
    set(plan.description, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(plan.description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<int32_t>(types.out));
    set(plan.description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  const bool ta = gemm.transpose_a, tb = gemm.transpose_b;
  plan.first = layout(types.in, tb ? gemm.n : gemm.k, tb ? gemm.k : gemm.n, gemm.ldb, gemm, gemm.stride_b);
  plan.second = layout(types.in, ta ? gemm.k : gemm.m, ta ? gemm.m : gemm.k, gemm.lda, gemm, gemm.stride_a);
  plan.result = layout(types.out, gemm.m, gemm.n, gemm.ldy, gemm, gemm.stride_y);
  return plan;
}

/// The heuristic's first choice; nothing is timed. If deterministic, a sum over k is taken in one sequence,
/// or in parts that stand in the workspace in f32 or f64 and are added in a second step.
void choose(Plan& plan, cublasLtHandle_t handle, const Key& key) {
  Preference preference;
  LATHE_BLAS_CHECK(cublasLtMatmulPreferenceCreate(preference.out()));
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMostWorkspace);
  constexpr uint32_t kOrdered = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  const uint32_t sums = key.gemm.deterministic ? kOrdered : uint32_t{CUBLASLT_REDUCTION_SCHEME_MASK};
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, sums);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.b);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.a);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.y);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.y);
  cublasLtMatmulHeuristicResult_t results[kCandidates];
  int count = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle, plan.description, plan.first, plan.second, plan.result,
                                     plan.result, preference, kCandidates, results, &count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return;
  check(status, "cublasLtMatmulAlgoGetHeuristic");
  for (int i = 0; i < count && !plan.found; ++i) {
    if (results[i].state != CUBLAS_STATUS_SUCCESS) continue;
    plan.algorithm = results[i].algo;
    plan.workspace = results[i].workspaceSize;
    plan.found = true;
  }
}

/// One of each per device, never destroyed (see DeviceState).
struct Library {
  cublasLtHandle_t handle = nullptr;
  std::map<Key, Plan> plans;

  Plan& plan(const Key& key, const void* bias) {
    const auto known = plans.find(key);
    if (known != plans.end()) return known->second;
    Plan made = describe(key.gemm, bias);
    choose(made, handle, key);
    return plans.emplace(key, std::move(made)).first->second;
  }
};

std::mutex mutex;

Library& library() {
  static auto* of_device = new std::map<int, Library>;
  Library& found = (*of_device)[current().index];
  if (found.handle == nullptr) LATHE_BLAS_CHECK(cublasLtCreate(&found.handle));
  return found;
}

}  // namespace

bool gemm(const Gemm& problem, void* y, const void* a, const void* b, const void* bias) {
  LATHE_ASSERT(problem.m > 0 && problem.n > 0 && problem.k > 0 && problem.batch > 0);
  LATHE_ASSERT(problem.bias == (bias != nullptr));
  const Key key{problem, alignment(y), alignment(a), alignment(b), alignment(bias)};
  const std::lock_guard lock(mutex);
  Library& blas = library();
  Plan& plan = blas.plan(key, bias);
  if (!plan.found) return false;
  Tensor workspace;
  if (plan.workspace > 0) {
    workspace = Tensor::empty({static_cast<int64_t>(plan.workspace)}, DType::U8, current_device());
  }
  if (problem.bias) set(plan.description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  const double alpha_f64 = 1, beta_f64 = problem.accumulate ? 1 : 0;
  const float alpha_f32 = 1, beta_f32 = problem.accumulate ? 1.0f : 0.0f;
  const bool f64 = problem.in == DType::F64;
  const void* alpha = f64 ? static_cast<const void*>(&alpha_f64) : &alpha_f32;
  const void* beta = f64 ? static_cast<const void*>(&beta_f64) : &beta_f32;
  LATHE_BLAS_CHECK(cublasLtMatmul(blas.handle, plan.description, alpha, b, plan.first, a, plan.second, beta,
                                  y, plan.result, y, plan.result, &plan.algorithm,
                                  workspace.defined() ? workspace.raw_mut() : nullptr, plan.workspace,
                                  compute_stream()));
  return true;
}

}  // namespace lathe::cuda
