// A^T m A and what happens to its values before they are stored, see Notes [Winograd convolution] and
// [Winograd matrices].

#include "core/cpu/isa/norm_map.h"
#include "core/cpu/isa/winograd_matrices.h"
#include "core/cpu/isa_winograd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

template <class T>
constexpr int kVectors = kWinogradBlock / kLanes<T>;

template <class T>
[[gnu::always_inline]] inline Vec<T> load_or_zero(const T* from, int64_t at) {
  return from == nullptr ? Vec<T>{} : load(from + at);
}

// What becomes of a vector of channels: begin(channel), then for every tile begin_tile, apply for each pixel
// (offset `at` in y), end_tile, and in the end finish. Sums of a tile are added apart, which keeps the error
// of a long window small.

template <class T>
struct Plain {
  Vec<T> bias;

  void begin(const WinogradOutputJob<T>& job, int64_t channel, Vec<T>) {
    bias = load_or_zero(job.bias, channel);
  }
  void begin_tile() {}
  Vec<T> apply(const WinogradOutputJob<T>&, Vec<T> v, int64_t) { return v + bias; }
  void end_tile() {}
  void finish(const WinogradOutputJob<T>&, int64_t) {}
};

template <class T>
struct Moments {
  Vec<T> bias, origin, sum, square, tile_sum, tile_square;

  void begin(const WinogradOutputJob<T>& job, int64_t channel, Vec<T> first_value) {
    bias = load_or_zero(job.bias, channel);
    const T* sums = job.first ? nullptr : job.sums + channel;
    sum = load_or_zero(sums, 0);
    square = load_or_zero(sums, job.pixel);
    origin = job.first ? first_value + bias : load(sums + 2 * job.pixel);
  }
  void begin_tile() { tile_sum = tile_square = Vec<T>{}; }
  Vec<T> apply(const WinogradOutputJob<T>&, Vec<T> v, int64_t) {
    v += bias;
    const Vec<T> distance = v - origin;
    tile_sum += distance;
    tile_square += distance * distance;
    return v;
  }
  void end_tile() {
    sum += tile_sum;
    square += tile_square;
  }
  void finish(const WinogradOutputJob<T>& job, int64_t channel) {
    store(job.sums + channel, sum);
    store(job.sums + job.pixel + channel, square);
    store(job.sums + 2 * job.pixel + channel, origin);
  }
};

/// kResidual: 0 none, 1 without a mask, 2 masked.
template <class T, int kResidual, bool kMask>
struct InputGradient {
  Vec<T> mean, scale, shift, sum, product, tile_sum, tile_product;

  void begin(const WinogradOutputJob<T>& job, int64_t channel, Vec<T>) {
    if constexpr (kMask) {
      mean = load(job.mask.mean + channel);
      scale = load(job.mask.scale + channel);
      shift = load(job.mask.shift + channel);
      const T* sums = job.first ? nullptr : job.sums + channel;
      sum = load_or_zero(sums, 0);
      product = load_or_zero(sums, job.pixel);
    }
  }
  void begin_tile() {
    if constexpr (kMask) tile_sum = tile_product = Vec<T>{};
  }
  Vec<T> apply(const WinogradOutputJob<T>& job, Vec<T> v, int64_t at) {
    if constexpr (kResidual == 1) v += load(job.residual_dy + at);
    if constexpr (kResidual == 2)
      v += masked_value<Vec<T>>(load(job.residual_dy + at), load(job.residual_y + at));
    if constexpr (kMask) {
      const Vec<T> x = load(job.mask.x + at);
      v = masked_value<Vec<T>>(v, affine_value<Vec<T>>(x, mean, scale, shift));
      tile_sum += v;
      tile_product += v * (x - mean);
    }
    return v;
  }
  void end_tile() {
    if constexpr (kMask) {
      sum += tile_sum;
      product += tile_product;
    }
  }
  void finish(const WinogradOutputJob<T>& job, int64_t channel) {
    if constexpr (kMask) {
      store(job.sums + channel, sum);
      store(job.sums + job.pixel + channel, product);
    }
  }
};

/// `rows` x `columns` pixels of y, all 16 where kWhole.
template <class T>
struct Place {
  int64_t at;  // offset of the tile's first pixel in y
  int64_t row_step, pixel;
  int64_t rows, columns;
};

template <bool kWhole, class T, class Epilogue>
[[gnu::always_inline]] inline void store_row(const WinogradOutputJob<T>& job, const Place<T>& place, int row,
                                             const Vec<T> (&z)[6], Epilogue& epilogue) {
  if (!kWhole && row >= place.rows) return;
  Vec<T> y[4];
  winograd_output<T>(z, y);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    if (!kWhole && j >= place.columns) return;
    const int64_t at = place.at + row * place.row_step + j * place.pixel;
    store(job.y + at, epilogue.apply(job, y[j], at));
  }
}

// A^T m first, two rows at a time where registers are few.
template <bool kWhole, class T, class Epilogue>
[[gnu::always_inline]] inline void output_tile(const WinogradOutputJob<T>& job, const T* from,
                                               const Place<T>& place, Epilogue& epilogue) {
  const int64_t point = job.products.point;
  const auto m = [&](int i, int j) { return load(from + (6 * i + j) * point); };
  Vec<T> z[4][6];
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    const Vec<T> m1 = m(1, j), m2 = m(2, j), m3 = m(3, j), m4 = m(4, j);
    winograd_output_02<T>(m(0, j), m1, m2, m3, m4, z[0][j], z[2][j]);
    if (kRegisters == 32) winograd_output_13<T>(m1, m2, m3, m4, m(5, j), z[1][j], z[3][j]);
  }
  store_row<kWhole>(job, place, 0, z[0], epilogue);
  store_row<kWhole>(job, place, 2, z[2], epilogue);
  if (kRegisters < 32) {
#pragma GCC unroll 6
    for (int j = 0; j < 6; ++j) {
      winograd_output_13<T>(m(1, j), m(2, j), m(3, j), m(4, j), m(5, j), z[1][j], z[3][j]);
    }
  }
  store_row<kWhole>(job, place, 1, z[1], epilogue);
  store_row<kWhole>(job, place, 3, z[3], epilogue);
}

/// The first pixel of the first tile: row 0 of A^T is ones and a last zero.
template <class T>
Vec<T> first_pixel(const T* m, int64_t point) {
  Vec<T> sum{};
  for (int i = 0; i < 5; ++i) {
    for (int j = 0; j < 5; ++j) sum += load(m + (6 * i + j) * point);
  }
  return sum;
}

/// A block of 16 channels of all tiles.
template <class Epilogue, class T>
void run_block(const WinogradOutputJob<T>& job, int64_t block) {
  const WinogradBox& box = job.box;
  const int64_t channel = job.channel + block * kWinogradBlock;
  const T* m = job.products.data + block * job.products.block;
  Epilogue epilogue[kVectors<T>];
  for (int v = 0; v < kVectors<T>; ++v) {
    const bool wanted = job.sums != nullptr && job.first;
    const int64_t lane = v * kLanes<T>;
    epilogue[v].begin(job, channel + lane, wanted ? first_pixel(m + lane, job.products.point) : Vec<T>{});
  }
  Place<T> place{0, job.width * job.pixel, job.pixel, 0, 0};
  for (int64_t n = box.image; n < box.image + box.images; ++n) {
    for (int64_t i = box.row; i < box.row + box.rows; ++i) {
      place.rows = job.height - kWinogradTile * i;
      for (int64_t j = box.column; j < box.column + box.columns; ++j, m += kWinogradBlock) {
        place.columns = job.width - kWinogradTile * j;
        const bool whole = place.rows >= kWinogradTile && place.columns >= kWinogradTile;
        const int64_t pixel = (n * job.height + kWinogradTile * i) * job.width + kWinogradTile * j;
#pragma GCC unroll 1
        for (int v = 0; v < kVectors<T>; ++v) {
          place.at = pixel * job.pixel + channel + v * kLanes<T>;
          epilogue[v].begin_tile();
          whole ? output_tile<true>(job, m + v * kLanes<T>, place, epilogue[v])
                : output_tile<false>(job, m + v * kLanes<T>, place, epilogue[v]);
          epilogue[v].end_tile();
        }
      }
    }
  }
  for (int v = 0; v < kVectors<T>; ++v) epilogue[v].finish(job, channel + v * kLanes<T>);
}

template <class Epilogue, class T>
void run_blocks(const WinogradOutputJob<T>& job) {
  for (int64_t b = 0; b * kWinogradBlock < job.channels; ++b) run_block<Epilogue>(job, b);
}

template <class T>
void run(const WinogradOutputJob<T>& job) {
  const int residual = job.residual_dy == nullptr ? 0 : (job.residual_y == nullptr ? 1 : 2);
  if (job.mask.x != nullptr) {
    if (residual == 0) return run_blocks<InputGradient<T, 0, true>>(job);
    return residual == 1 ? run_blocks<InputGradient<T, 1, true>>(job)
                         : run_blocks<InputGradient<T, 2, true>>(job);
  }
  if (residual == 1) return run_blocks<InputGradient<T, 1, false>>(job);
  if (residual == 2) return run_blocks<InputGradient<T, 2, false>>(job);
  job.sums != nullptr ? run_blocks<Moments<T>>(job) : run_blocks<Plain<T>>(job);
}

}  // namespace

void winograd_output_f32(const WinogradOutputJob<float>& job) {
  run(job);
}
void winograd_output_f64(const WinogradOutputJob<double>& job) {
  run(job);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
