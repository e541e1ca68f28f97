#pragma once
// Where the pixels of one picture lie.

#include <cstdint>

namespace lathe {

/// One image inside a larger buffer, rows of width * channels elements, one after another.
template <class T>
struct ImageView {
  T* data = nullptr;
  int64_t height = 0, width = 0, channels = 0;
  int64_t row() const { return width * channels; }
};

/// A rectangle of a picture that is only read; `row_bytes` lie between the beginnings of two rows.
struct PixelRect {
  const uint8_t* data = nullptr;
  int64_t height = 0, width = 0, channels = 0, row_bytes = 0;

  PixelRect() = default;
  /// A whole picture.
  PixelRect(const uint8_t* pixels, int64_t rows, int64_t columns, int64_t channels_)
      : data(pixels), height(rows), width(columns), channels(channels_), row_bytes(columns * channels_) {}
  PixelRect part(int64_t top, int64_t left, int64_t rows, int64_t columns) const {
    PixelRect rect = *this;
    rect.data += top * row_bytes + left * channels;
    rect.height = rows;
    rect.width = columns;
    return rect;
  }
};

}  // namespace lathe
