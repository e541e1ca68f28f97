// oneDNN's convolutions on the cases of `lathe bench conv`: what a framework that stands on oneDNN can reach.
//
// Primitives only: source and destination are in the layout that is named (`blocked`: the one oneDNN chooses;
// `nhwc`), weights always in the one it chooses, and no reorder is timed. A line of JSON for each case, pass
// and layout, timed as `lathe bench conv` does: CPU time on one thread, wall time on several.
//
//   onednn_conv [--filter TEXT] [--seconds S] [--threads N]
//
// OMP_NUM_THREADS must equal N (default 1); ONEDNN_MAX_CPU_ISA=AVX2 holds it to AVX2.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <string>
#include <unordered_map>
#include <vector>

#include <dnnl.hpp>

#include "tools/bench/conv_cases.h"

namespace {

using lathe::bench::ConvCase;
using Tag = dnnl::memory::format_tag;
using Prop = dnnl::prop_kind;

struct Options {
  std::string filter;
  double seconds = 0.2;
  int threads = 1;
};

double seconds_of(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

dnnl::memory filled(const dnnl::memory::desc& desc, const dnnl::engine& engine) {
  dnnl::memory memory(desc, engine);
  auto* values = static_cast<float*>(memory.get_data_handle());
  std::fill(values, values + desc.get_size() / sizeof(float), 0.25f);
  return memory;
}

/// The shapes of a case, sources in layout `tag`.
struct Shapes {
  dnnl::memory::desc x, w, y;
  dnnl::memory::dims stride, pad;

  Shapes(const ConvCase& c, Tag tag) {
    const auto f32 = dnnl::memory::data_type::f32;
    x = {{c.n, c.c, c.size, c.size}, f32, tag};
    y = {{c.n, c.k, c.out_size(), c.out_size()}, f32, tag};
    if (c.groups == 1) {
      w = {{c.k, c.c, c.kernel, c.kernel}, f32, Tag::any};
    } else {
      w = {{c.groups, c.k / c.groups, c.c / c.groups, c.kernel, c.kernel}, f32, Tag::any};
    }
    stride = {c.stride, c.stride};
    pad = {c.pad(), c.pad()};
  }
};

struct Call {
  dnnl::primitive primitive;
  std::unordered_map<int, dnnl::memory> arguments;
  std::string implementation;
};

dnnl::convolution_forward::primitive_desc forward_desc(const Shapes& s, const dnnl::engine& engine) {
  return {
      {Prop::forward_training, dnnl::algorithm::convolution_direct, s.x, s.w, s.y, s.stride, s.pad, s.pad},
      engine};
}

Call forward(const Shapes& s, const dnnl::engine& engine) {
  const auto desc = forward_desc(s, engine);
  return {dnnl::convolution_forward(desc),
          {{DNNL_ARG_SRC, filled(desc.src_desc(), engine)},
           {DNNL_ARG_WEIGHTS, filled(desc.weights_desc(), engine)},
           {DNNL_ARG_DST, filled(desc.dst_desc(), engine)}},
          desc.impl_info_str()};
}

Call backward_data(const Shapes& s, const dnnl::engine& engine) {
  const dnnl::convolution_backward_data::primitive_desc desc(
      {dnnl::algorithm::convolution_direct, s.x, s.w, s.y, s.stride, s.pad, s.pad}, engine,
      forward_desc(s, engine));
  return {dnnl::convolution_backward_data(desc),
          {{DNNL_ARG_DIFF_DST, filled(desc.diff_dst_desc(), engine)},
           {DNNL_ARG_WEIGHTS, filled(desc.weights_desc(), engine)},
           {DNNL_ARG_DIFF_SRC, filled(desc.diff_src_desc(), engine)}},
          desc.impl_info_str()};
}

Call backward_weight(const Shapes& s, const dnnl::engine& engine) {
  const dnnl::convolution_backward_weights::primitive_desc desc(
      {dnnl::algorithm::convolution_direct, s.x, s.w, s.y, s.stride, s.pad, s.pad}, engine,
      forward_desc(s, engine));
  return {dnnl::convolution_backward_weights(desc),
          {{DNNL_ARG_DIFF_DST, filled(desc.diff_dst_desc(), engine)},
           {DNNL_ARG_SRC, filled(desc.src_desc(), engine)},
           {DNNL_ARG_DIFF_WEIGHTS, filled(desc.diff_weights_desc(), engine)}},
          desc.impl_info_str()};
}

/// Milliseconds of a call, median of at least five.
double median_ms(const Call& call, dnnl::stream& stream, const Options& options) {
  const clockid_t clock = options.threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
  const auto once = [&] {
    const double start = seconds_of(clock);
    call.primitive.execute(stream, call.arguments);
    stream.wait();
    return seconds_of(clock) - start;
  };
  once();
  std::vector<double> times;
  const double begin = seconds_of(CLOCK_MONOTONIC);
  while (times.size() < 5 || seconds_of(CLOCK_MONOTONIC) - begin < options.seconds) times.push_back(once());
  std::sort(times.begin(), times.end());
  return times[times.size() / 2] * 1e3;
}

void bench_case(const ConvCase& c, const Options& options, const dnnl::engine& engine, dnnl::stream& stream) {
  using Make = Call (*)(const Shapes&, const dnnl::engine&);
  const std::pair<const char*, Make> passes[] = {
      {"forward", &forward}, {"backward data", &backward_data}, {"backward weight", &backward_weight}};
  const std::pair<const char*, Tag> layouts[] = {{"blocked", Tag::any}, {"nhwc", Tag::nhwc}};
  const double flops = 2.0 * static_cast<double>(c.n * c.out_size() * c.out_size() * c.k) *
                       static_cast<double>(c.kernel * c.kernel * c.c / c.groups);
  for (const auto& [pass, make] : passes) {
    for (const auto& [layout, tag] : layouts) {
      const Call call = make(Shapes(c, tag), engine);
      const double ms = median_ms(call, stream, options);
      std::printf(
          "{\"peer\": \"onednn\", \"case\": \"%s\", \"pass\": \"%s\", \"layout\": \"%s\", \"threads\": %d, "
          "\"ms_median\": %.6f, \"gflops\": %.2f, \"implementation\": \"%s\"}\n",
          c.name, pass, layout, options.threads, ms, flops / ms * 1e-6, call.implementation.c_str());
    }
  }
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--filter") == 0) options.filter = argv[i + 1];
    if (std::strcmp(argv[i], "--seconds") == 0) options.seconds = std::atof(argv[i + 1]);
    if (std::strcmp(argv[i], "--threads") == 0) options.threads = std::atoi(argv[i + 1]);
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse(argc, argv);
    const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    for (const ConvCase& c : lathe::bench::kConvCases) {
      if (std::string(c.name).find(options.filter) != std::string::npos) {
        bench_case(c, options, engine, stream);
      }
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "onednn_conv: %s\n", error.what());
    return 1;
  }
  return 0;
}
