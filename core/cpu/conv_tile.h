#pragma once
// What the drivers (conv_drive.cpp, conv_weight.cpp, conv_backward.cpp) and the micro-kernels compiled per
// instruction set (core/cpu/isa/conv_*.cpp) say to each other: plain structures of numbers and addresses.
//
// Note [Convolution tiling]
// Every convolution here is one sum. With the input copied into padded scratch,
//
//   y[p][k] = bias[k] + sum over entries e, channels c of  scratch[p + offset(e) + c] * w[e][c][k]
//
// where p runs over output pixels and an entry is one (block of channels, tap) pair. Padding, dilation, and
// which taps a phase of a strided backward has are only numbers in offset(e); forward and backward-data
// differ in how the weights are packed and where the pixels of y stand. Backward-weight is the same sum read
// the other way: dw[e][c][k] = sum over p of scratch[p + offset(e) + c] * dy[p][k].
//
// Scratch is blocked: [channel block][row][column phase][column][16 channels]. A pixel's step is then 16
// elements whatever the layer, so the micro-kernel addresses all its pixels from one register plus constants.
// Columns are split by phase (column mod stride), which makes the step 16 for strided layers too. Images with
// fewer than 8 output columns put the image index innermost instead ([block][row][phase][column][image][16]):
// a tile then takes its pixels from neighbouring images and has no ragged edge. Inputs with fewer than 8
// channels (the first layer) are only padded, and a kernel row's taps x channels serve as one run of
// channels. Pointwise convolutions read x in place; so do strided weight gradients of few
// channels, whose taps leave out the columns that are outside.
//
// Register tile, forward: P pixels x V vectors of output channels; per channel V loads of weights, P
// broadcasts and P V FMAs.
//            lanes  registers  V = 2 (K > lanes)   V = 1
//   SSE2       4       16      6 x  8 channels     12 x  4
//   AVX2       8       16      6 x 16              12 x  8
//   AVX-512   16       32     14 x 32              16 x 16
// A line of L pixels is cut into ceil(L / P) tiles of nearly equal size, as a kernel exists for every P up to
// the largest: 32 columns on AVX2 are 6+6+5+5+5+5. Eight accumulators hide the FMA's latency (4 cycles x 2).
// Measured on one Zen 5 core, peak 233 GFLOP/s, data in L1: 8 x 32: 228, 14 x 32: 229, 16 x 16: 210.
//
// Cache: a run of entries (at most 8 blocks x 9 taps x 16 channels x 32 outputs x 4 bytes = 144 KiB) stays in
// L2 while all pixels of the task pass by, beside their scratch (at most 256 KiB): a tile reads its weights
// in order, 16 bytes a cycle, and y once per run. Runs that stay in L1, 18 KiB, read y more often than they
// save: 512 channels on 4x4 images took 4 to 7 % longer with them, most other layers the same within
// what two runs differ by.
//
// Register tile, backward-weight: R channels of one entry x V vectors of output channels, held while 128 or
// 256 pixels pass by, then added to the task's partial sum; R is at most 12 (V = 2) or 16 (V = 1) on AVX-512,
// 6 or 12 elsewhere, so that a block's 16 are 8 + 8 or 16, 6 + 5 + 5 or 8 + 8. The pixels' dy is gathered
// first where it is not side by side.
//
// Taps in the padding: a line of pixels whose tap reads padding only leaves that tap out. Of a 3x3 kernel on
// 4x4 images with the image innermost, where a line is one pixel of many images, that is 44 products of 144;
// elsewhere lines are rows, and the first and the last row have 6 taps of 9.
//
// Where V = 1, the tile above needs a load per FMA, which is as much as the core has. On AVX-512 three taps
// that stand side by side then share their broadcasts (tile_row): 230 GFLOP/s against 210.

#include <cstdint>

#include "core/cpu/isa.h"

namespace lathe::cpu {

/// Channels in a block of scratch.
inline constexpr int64_t kConvBlock = 16;

/// The output pixels of a phase for which an entry's tap does not read padding only.
struct ConvInside {
  int64_t row_lo = 0, row_hi = 0, column_lo = 0, column_hi = 0;
};

/// Lines of output pixels: line (i, j), 0 <= i < outer, 0 <= j < inner, has `length` pixels. Steps in
/// elements; x is the scratch, y the tensor of outputs (or dy).
struct ConvLines {
  int64_t outer = 0, inner = 0, length = 0;
  int64_t x_outer = 0, x_inner = 0, x_pixel = 0;
  int64_t y_outer = 0, y_inner = 0, y_pixel = 0;
  /// Where ConvReduction::inside is given: i is the row and j the column if by_column, else j is the row;
  /// those of line (0, 0).
  int64_t row = 0, column = 0;
  bool by_column = false;
  /// Nothing stands where a tap is outside: lines are rows, of which a tap takes the columns inside.
  bool unpadded = false;
};

/// Most entries of a run of the forward.
inline constexpr int64_t kConvRunEntries = 96;

/// Entries [first, first + count), each of `channels` channels.
struct ConvRun {
  int64_t first = 0, count = 0, channels = 0;
};

/// The reduction of a convolution. Packed weights and weight gradients are
/// [tile of k][entry][channel][lanes of the tile]; a tile is two vectors wide, the last one perhaps one.
struct ConvReduction {
  const int64_t* offsets = nullptr;    ///< of an entry in the scratch
  const int64_t* weights = nullptr;    ///< of an entry's first channel in the weight tensor
  const int64_t* starts = nullptr;     ///< channels before an entry
  const ConvInside* inside = nullptr;  ///< of an entry; null: no tap of any line is outside
  const ConvRun* runs = nullptr;
  int64_t run_count = 0;
  int64_t length = 0;  ///< channels of all entries
  int64_t k = 0;       ///< output channels
};

/// Memory that the next job reads, to be brought into L2 while this one computes: an input of a training step
/// comes from DRAM, and waiting for it cost a sixth of a 16-channel layer.
struct ConvAhead {
  const void* from = nullptr;
  int64_t bytes = 0;
};

/// Of one job.
inline constexpr int kConvAheads = 4;

/// y = sum over the reduction (+ bias) for every pixel of `lines`.
template <class T>
struct ConvTileJob {
  T* y = nullptr;
  const T* x = nullptr;
  const T* w = nullptr;     ///< packed
  const T* bias = nullptr;  ///< k values or null
  ConvReduction reduction;
  ConvLines lines;
  int64_t run_lo = 0, run_hi = 0;  ///< runs to add; those from 0 on begin with the bias, others with y
  ConvAhead ahead[kConvAheads];
};
LATHE_ISA_FUNCTION(void, conv_tile_f32, const ConvTileJob<float>& job);
LATHE_ISA_FUNCTION(void, conv_tile_f64, const ConvTileJob<double>& job);

/// dw (packed) = or += sum over the pixels of `lines`, for runs [run_lo, run_hi) and tiles [tile_lo,
/// tile_hi).
template <class T>
struct ConvWeightJob {
  T* dw = nullptr;
  const T* x = nullptr;
  const T* dy = nullptr;
  /// Where dy stands in scratch, the step from one block of 16 channels to the next; 0 in a tensor.
  int64_t dy_block = 0;
  ConvReduction reduction;
  ConvLines lines;
  int64_t run_lo = 0, run_hi = 0;
  int64_t tile_lo = 0, tile_hi = 0;
  bool accumulate = false;
  ConvAhead ahead[kConvAheads];
};
LATHE_ISA_FUNCTION(void, conv_weight_f32, const ConvWeightJob<float>& job);
LATHE_ISA_FUNCTION(void, conv_weight_f64, const ConvWeightJob<double>& job);

/// Packs tile `tile` of the weights: lane l of channel c of entry e is
/// w[weights(e) + (first k of the tile + l) k_step + c c_step], 0 past the last k.
template <class T>
struct ConvPackJob {
  T* packed = nullptr;
  const T* w = nullptr;
  ConvReduction reduction;
  int64_t k_step = 0, c_step = 0;
  int64_t tile = 0;
};
LATHE_ISA_FUNCTION(void, conv_pack_f32, const ConvPackJob<float>& job);
LATHE_ISA_FUNCTION(void, conv_pack_f64, const ConvPackJob<double>& job);

/// The inverse with c_step 1: the sum of `parts` packed gradients, `part_step` apart, added in order, of tile
/// `tile`.
template <class T>
struct ConvUnpackJob {
  T* dw = nullptr;
  const T* packed = nullptr;
  int64_t parts = 0, part_step = 0;
  ConvReduction reduction;
  int64_t k_step = 0;
  int64_t tile = 0;
};
LATHE_ISA_FUNCTION(void, conv_unpack_f32, const ConvUnpackJob<float>& job);
LATHE_ISA_FUNCTION(void, conv_unpack_f64, const ConvUnpackJob<double>& job);

/// What a window's values go through on their way into scratch, per channel. g is 0 where y is given and not
/// positive.
enum class ConvMap : uint8_t {
  Identity,  ///< x
  Affine,    ///< (x - mean) scale + shift, its relu where `relu`
  Gradient,  ///< scale g + (slope (x - mean) + shift)
};
template <class T>
struct ConvMapping {
  ConvMap map = ConvMap::Identity;
  bool relu = false;
  const T *g = nullptr, *y = nullptr;  ///< tensors as x
  const T *mean = nullptr, *scale = nullptr, *slope = nullptr, *shift = nullptr;
};

/// Copies a window of images into scratch through a mapping, zeros outside the image.
template <class T>
struct ConvCopyJob {
  T* scratch = nullptr;
  const T* x = nullptr;  ///< first image, first channel of the group
  ConvMapping<T> mapping;
  int64_t images = 0, image_step = 0;
  int64_t height = 0, width = 0, pixel_step = 0;  ///< of x; pixel_step is its channel count
  int64_t channels = 0;                           ///< to copy
  int64_t repeat = 1;                             ///< channel c of the scratch is c / repeat of x
  int64_t block_lo = 0, block_hi = 0;             ///< blocks of channels to copy
  int64_t block_first = 0;                        ///< the block that stands at the scratch's begin
  int64_t row = 0, rows = 0;                      ///< first input row (may be negative) and how many
  int64_t column = 0, columns = 0;                ///< first input column, columns per phase
  int64_t stride_w = 1;
  const int64_t* phases = nullptr;  ///< column phases that some tap needs
  int64_t phase_count = 0;
  bool contiguous = false;            ///< no blocks and phases: rows as in x, `columns` pixels each
  const uint8_t* row_used = nullptr;  ///< by row mod stride_h
  int64_t stride_h = 1;
  int64_t row_step = 1;  ///< rows of x between two that the scratch has
  int64_t s_image = 0, s_block = 0, s_row = 0, s_phase = 0, s_pixel = 0;  ///< of the scratch
};
LATHE_ISA_FUNCTION(void, conv_copy_f32, const ConvCopyJob<float>& job);
LATHE_ISA_FUNCTION(void, conv_copy_f64, const ConvCopyJob<double>& job);

/// Bytes of a vector register.
LATHE_ISA_FUNCTION(int64_t, conv_vector_bytes);

}  // namespace lathe::cpu
