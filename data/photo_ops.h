#pragma once
// Operations on 8-bit pictures as Pillow defines them (ImageOps, ImageEnhance, Image.transform): what the
// recipes' policies are made of. Grey pictures have one channel, colour ones three.

#include <array>
#include <cstdint>

#include "data/pixels.h"
#include "data/resample.h"

namespace lathe::photo {

using Pixels = ImageView<uint8_t>;

/// Stretches each channel's values to 0 .. 255.
void autocontrast(const Pixels& image);
/// Makes each channel's histogram flat.
void equalize(const Pixels& image);
void invert(const Pixels& image);
/// Keeps the `bits` (0 to 8) upper bits of each value.
void posterize(const Pixels& image, int bits);
/// Inverts values of `threshold` and above.
void solarize(const Pixels& image, int threshold);
/// Adds to values below 128.
void solarize_add(const Pixels& image, int addend);

// A factor of 1 leaves the picture, 0 leaves what stands beside each name, beyond 1 goes away from it.
void saturate(const Pixels& image, double factor);  ///< its greys
void contrast(const Pixels& image, double factor);  ///< its mean grey
void brighten(const Pixels& image, double factor);  ///< black
void sharpen(const Pixels& image, double factor);   ///< a smoothed picture

using Fill = std::array<uint8_t, 3>;
/// Output (x, y) comes from (a x + b y + c, d x + e y + f), pixels' centres being at halves; `fill` where
/// that lies outside.
struct Affine {
  double a = 1, b = 0, c = 0, d = 0, e = 1, f = 0;
};
void transform(const Pixels& image, const Affine& affine, Interpolation interpolation, const Fill& fill);
/// Counterclockwise about the centre.
Affine rotation(double degrees, int64_t height, int64_t width);

}  // namespace lathe::photo
