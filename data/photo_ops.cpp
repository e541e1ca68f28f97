#include "data/photo_ops.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace lathe::photo {
namespace {

using Table = std::array<uint8_t, 256>;
using Histogram = std::array<int64_t, 256>;

int64_t bytes_of(const Pixels& image) {
  return image.height * image.row();
}

uint8_t clamp_byte(double x) {
  return static_cast<uint8_t>(std::clamp(x, 0.0, 255.0));
}

template <class F>
void apply(const Pixels& image, F f) {
  Table table;
  for (int i = 0; i < 256; ++i) table[static_cast<size_t>(i)] = static_cast<uint8_t>(f(i));
  for (int64_t i = 0; i < bytes_of(image); ++i) image.data[i] = table[image.data[i]];
}

// Each channel by the table that make(histogram, table) gives it; a table begins as the identity.
template <class Make>
void apply_by_histogram(const Pixels& image, Make make) {
  for (int64_t c = 0; c < image.channels; ++c) {
    Histogram histogram{};
    for (int64_t i = c; i < bytes_of(image); i += image.channels) ++histogram[image.data[i]];
    Table table;
    for (size_t i = 0; i < 256; ++i) table[i] = static_cast<uint8_t>(i);
    make(histogram, table);
    for (int64_t i = c; i < bytes_of(image); i += image.channels) image.data[i] = table[image.data[i]];
  }
}

// ITU-R 601-2 luma in 16-bit fixed point.
uint8_t grey_of(const uint8_t* pixel, int64_t channels) {
  if (channels == 1) return *pixel;
  return static_cast<uint8_t>((19595 * pixel[0] + 38470 * pixel[1] + 7471 * pixel[2] + 0x8000) >> 16);
}

// From `other` at factor 0 to `own` at 1.
uint8_t blend(uint8_t other, uint8_t own, float factor) {
  const float x = static_cast<float>(other) + factor * static_cast<float>(int{own} - int{other});
  return static_cast<uint8_t>(std::clamp(x, 0.0f, 255.0f));
}

// v1 to v4 stand at -1, 0, 1 and 2; the cubic with slope -1.
double cubic(double v1, double v2, double v3, double v4, double at) {
  const double p2 = v3 - v1, p3 = 2 * (v1 - v2) + v3 - v4, p4 = v2 - v1 - v3 + v4;
  return v2 + at * (p2 + at * (p3 + at * p4));
}

// One colour value at (y, x), where pixels' centres are at whole numbers; rows and columns beyond the border
// repeat it.
class Sampler {
 public:
  Sampler(const uint8_t* pixels, const Pixels& shape) : pixels_(pixels), shape_(shape) {}

  double linear(double y, double x, int64_t c) const {
    const auto top = static_cast<int64_t>(std::floor(y)), left = static_cast<int64_t>(std::floor(x));
    const double down = y - static_cast<double>(top), right = x - static_cast<double>(left);
    const auto row = [&](int64_t r) {
      const double a = at(r, left, c), b = at(r, left + 1, c);
      return a + (b - a) * right;
    };
    const double above = row(top), below = row(top + 1);
    return above + (below - above) * down;
  }
  double cubic(double y, double x, int64_t c) const {
    const auto top = static_cast<int64_t>(std::floor(y)), left = static_cast<int64_t>(std::floor(x));
    const double down = y - static_cast<double>(top), right = x - static_cast<double>(left);
    double v[4];
    for (int64_t k = 0; k < 4; ++k) {
      const int64_t r = top - 1 + k;
      v[k] = photo::cubic(at(r, left - 1, c), at(r, left, c), at(r, left + 1, c), at(r, left + 2, c), right);
    }
    return photo::cubic(v[0], v[1], v[2], v[3], down);
  }

 private:
  double at(int64_t y, int64_t x, int64_t c) const {
    y = std::clamp<int64_t>(y, 0, shape_.height - 1);
    x = std::clamp<int64_t>(x, 0, shape_.width - 1);
    return pixels_[y * shape_.row() + x * shape_.channels + c];
  }
  const uint8_t* pixels_;
  const Pixels& shape_;
};

}  // namespace

void autocontrast(const Pixels& image) {
  apply_by_histogram(image, [](const Histogram& histogram, Table& table) {
    size_t lo = 0, hi = 255;
    while (lo < 255 && histogram[lo] == 0) ++lo;
    while (hi > 0 && histogram[hi] == 0) --hi;
    if (hi <= lo) return;
    const double scale = 255.0 / static_cast<double>(hi - lo), offset = -static_cast<double>(lo) * scale;
    for (size_t i = 0; i < 256; ++i) table[i] = clamp_byte(static_cast<double>(i) * scale + offset);
  });
}

void equalize(const Pixels& image) {
  apply_by_histogram(image, [](const Histogram& histogram, Table& table) {
    int64_t total = 0, last = 0;
    for (const int64_t n : histogram) {
      total += n;
      if (n > 0) last = n;
    }
    const int64_t step = (total - last) / 255;
    if (step == 0) return;
    int64_t below = step / 2;
    for (size_t i = 0; i < 256; ++i) {
      table[i] = static_cast<uint8_t>(std::min<int64_t>(255, below / step));
      below += histogram[i];
    }
  });
}

void invert(const Pixels& image) {
  apply(image, [](int x) { return 255 - x; });
}

void posterize(const Pixels& image, int bits) {
  const int mask = 0xff00 >> bits;
  apply(image, [mask](int x) { return x & mask; });
}

void solarize(const Pixels& image, int threshold) {
  apply(image, [threshold](int x) { return x < threshold ? x : 255 - x; });
}

void solarize_add(const Pixels& image, int addend) {
  apply(image, [addend](int x) { return x < 128 ? std::min(255, x + addend) : x; });
}

void saturate(const Pixels& image, double factor) {
  if (image.channels == 1) return;
  for (uint8_t* pixel = image.data; pixel < image.data + bytes_of(image); pixel += image.channels) {
    const uint8_t grey = grey_of(pixel, image.channels);
    for (int64_t c = 0; c < image.channels; ++c) pixel[c] = blend(grey, pixel[c], static_cast<float>(factor));
  }
}

void contrast(const Pixels& image, double factor) {
  int64_t sum = 0;
  for (int64_t i = 0; i < bytes_of(image); i += image.channels)
    sum += grey_of(image.data + i, image.channels);
  const double mean = static_cast<double>(sum) / static_cast<double>(image.height * image.width);
  const auto grey = static_cast<uint8_t>(mean + 0.5);
  apply(image, [&](int x) { return blend(grey, static_cast<uint8_t>(x), static_cast<float>(factor)); });
}

void brighten(const Pixels& image, double factor) {
  apply(image, [&](int x) { return blend(0, static_cast<uint8_t>(x), static_cast<float>(factor)); });
}

void sharpen(const Pixels& image, double factor) {
  // The border's smoothed picture is the picture itself. Weights 1, and 5 in the middle, over 13.
  const std::vector<uint8_t> old(image.data, image.data + bytes_of(image));
  const int64_t row = image.row(), n = image.channels;
  for (int64_t y = 1; y + 1 < image.height; ++y) {
    for (int64_t x = n; x < row - n; ++x) {
      const uint8_t* at = old.data() + y * row + x;
      int sum = 4 * at[0];
      for (const int64_t line : {-row, int64_t{0}, row}) sum += at[line - n] + at[line] + at[line + n];
      const auto smooth = static_cast<uint8_t>((2 * sum + 13) / 26);
      image.data[y * row + x] = blend(smooth, at[0], static_cast<float>(factor));
    }
  }
}

void transform(const Pixels& image, const Affine& m, Interpolation interpolation, const Fill& fill) {
  const std::vector<uint8_t> old(image.data, image.data + bytes_of(image));
  const Sampler sampler(old.data(), image);
  uint8_t* to = image.data;
  for (int64_t row = 0; row < image.height; ++row) {
    for (int64_t column = 0; column < image.width; ++column, to += image.channels) {
      const double at_x = static_cast<double>(column) + 0.5, at_y = static_cast<double>(row) + 0.5;
      const double x = m.a * at_x + m.b * at_y + m.c, y = m.d * at_x + m.e * at_y + m.f;
      const bool inside =
          x >= 0 && x < static_cast<double>(image.width) && y >= 0 && y < static_cast<double>(image.height);
      for (int64_t c = 0; c < image.channels; ++c) {
        if (!inside) {
          to[c] = fill[static_cast<size_t>(c)];
        } else {
          to[c] = clamp_byte(interpolation == Interpolation::Bilinear ? sampler.linear(y - 0.5, x - 0.5, c)
                                                                      : sampler.cubic(y - 0.5, x - 0.5, c));
        }
      }
    }
  }
}

Affine rotation(double degrees, int64_t height, int64_t width) {
  const double angle = -degrees * 3.14159265358979323846 / 180, cosine = std::cos(angle),
               sine = std::sin(angle);
  const double x = static_cast<double>(width) / 2, y = static_cast<double>(height) / 2;
  return {cosine, sine, x - cosine * x - sine * y, -sine, cosine, y + sine * x - cosine * y};
}

}  // namespace lathe::photo
