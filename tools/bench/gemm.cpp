#include "tools/bench/gemm.h"

#include "core/kernels/attention.h"
#include "core/kernels/matmul.h"

namespace lathe::bench {
namespace {

struct Product {
  const char* name;
  int64_t batch, m, n, k;
  MatmulFlags flags;
};

constexpr MatmulFlags kNN{}, kNT{.transpose_b = true}, kTN{.transpose_a = true};

const Product kProducts[] = {
    {"square 512", 1, 512, 512, 512, kNN},
    {"square 1024", 1, 1024, 1024, 1024, kNN},
    {"wide 128x4096x576", 1, 128, 4096, 576, kNN},
    {"gpt fc1", 1, 2048, 1024, 256, kNT},
    {"gpt fc2", 1, 2048, 256, 1024, kNT},
    {"gpt fc1 dw", 1, 1024, 256, 2048, kTN},
    {"gpt fc1 dx", 1, 2048, 256, 1024, kNN},
    {"vit qkv", 1, 4160, 576, 192, kNT},
    {"vit qkv dw", 1, 576, 192, 4160, kTN},
    {"skinny 8192x64x64", 1, 8192, 64, 64, kNN},
    {"pointwise 8192x256x256", 1, 8192, 256, 256, kNN},
    {"pointwise 131072x64x32", 1, 131072, 64, 32, kNN},
    {"im2col 131072x16x144", 1, 131072, 16, 144, kNN},
    {"im2col dw 144x16x131072", 1, 144, 16, 131072, kTN},
    {"classifier 128x10x64", 1, 128, 10, 64, kNT},
    {"one row 1x1000x512", 1, 1, 1000, 512, kNT},
    {"batched gpt qk", 64, 128, 128, 64, kNT},
    {"batched gpt av", 64, 128, 64, 128, kNN},
    {"batched vit qk", 192, 65, 65, 64, kNT},
    {"batched vit av", 192, 65, 64, 65, kNN},
};

struct Attention {
  const char* name;
  int64_t n, t, heads, d;
  bool causal;
};

const Attention kAttentions[] = {
    {"attention vit 65", 64, 65, 3, 64, false},
    {"attention gpt 128", 16, 128, 4, 64, true},
    {"attention gpt 1024", 1, 1024, 4, 64, true},
};

bool selected(const char* name, const std::string& filter) {
  return std::string(name).find(filter) != std::string::npos;
}

Row bench_product(const Product& p, double seconds, const Machine& machine) {
  const Shape a_shape = p.flags.transpose_a ? Shape{p.batch, p.k, p.m} : Shape{p.batch, p.m, p.k};
  const Shape b_shape = p.flags.transpose_b ? Shape{p.batch, p.n, p.k} : Shape{p.batch, p.k, p.n};
  const Tensor a = Tensor::full(a_shape, 0.5), b = Tensor::full(b_shape, 0.25), bias;
  Tensor y = Tensor::empty({p.batch, p.m, p.n});
  const Times times = time_calls([&] { kernels::matmul(y, a, b, bias, p.flags); }, seconds);
  const char* pass = p.flags.transpose_a ? "TN" : p.flags.transpose_b ? "NT" : "NN";
  const auto bytes = static_cast<double>(a.bytes() + b.bytes() + y.bytes());
  return make_row(p.name, pass, times, {2.0 * static_cast<double>(y.numel() * p.k), bytes}, machine);
}

void bench_attention(std::vector<Row>& rows, const Attention& p, double seconds, const Machine& machine) {
  const Shape shape{p.n, p.t, p.heads, p.d};
  const Tensor q = Tensor::full(shape, 0.5), k = Tensor::full(shape, 0.25), v = Tensor::full(shape, 1), none;
  Tensor y = Tensor::empty(shape), lse = Tensor::empty({p.n, p.heads, p.t}), dbias;
  Tensor dq = Tensor::empty(shape), dk = Tensor::empty(shape), dv = Tensor::empty(shape);
  const AttentionFlags flags{.scale = 0.125, .causal = p.causal};
  // Two products forward, five backward; causality needs half of them.
  const double product = 2.0 * static_cast<double>(shape.numel() * p.t) * (p.causal ? 0.5 : 1);
  const Times forward =
      time_calls([&] { kernels::attention_forward(y, lse, q, k, v, none, none, flags); }, seconds);
  const auto bytes = static_cast<double>(y.bytes());
  rows.push_back(make_row(p.name, "forward", forward, {2 * product, 4 * bytes}, machine));
  const Times backward = time_calls(
      [&] { kernels::attention_backward(dq, dk, dv, dbias, y, q, k, v, y, lse, none, none, flags); },
      seconds);
  rows.push_back(make_row(p.name, "backward", backward, {5 * product, 8 * bytes}, machine));
}

}  // namespace

std::vector<Row> bench_gemm(const std::string& filter, double seconds) {
  std::vector<Row> rows;
  const Machine machine = measure_machine();
  for (const Product& product : kProducts) {
    if (selected(product.name, filter)) rows.push_back(bench_product(product, seconds, machine));
  }
  for (const Attention& attention : kAttentions) {
    if (selected(attention.name, filter)) bench_attention(rows, attention, seconds, machine);
  }
  return rows;
}

}  // namespace lathe::bench
