#pragma once
// Pictures scaled as Pillow scales them, with which the recipes' authors trained and evaluated.

#include <cstdint>

#include "data/pixels.h"

namespace lathe {

enum class Interpolation : uint8_t { Bilinear, Bicubic };

/// A size that a picture is scaled to, and the place in it where a window begins.
struct ScaledWindow {
  int64_t height = 0, width = 0;
  int64_t top = 0, left = 0;
};

/// The window of `to`'s size of all of `from` scaled to `window`'s size, antialiased: a triangle (bilinear)
/// or Keys' cubic with a = -1/2 (bicubic), as wide as the scale asks for; across first, then down, rounded to
/// bytes between the two. The same bytes as Pillow's Image.resize. Both have the same channels.
void resize(const PixelRect& from, const ScaledWindow& window, Interpolation interpolation,
            const ImageView<uint8_t>& to);

/// What evaluation does to photographs: the shorter side becomes floor(side / crop_pct), where `side` is
/// to's, which is square, and the centre is cut out (torchvision's Resize and CenterCrop).
struct CentreCrop {
  double crop_pct = 1;
  Interpolation interpolation = Interpolation::Bilinear;
  void operator()(const PixelRect& from, const ImageView<uint8_t>& to) const;
};

}  // namespace lathe
