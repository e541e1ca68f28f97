#pragma once
// Part of a batch of images, in pixels or in tiles.

#include <cstdint>

namespace lathe::cpu {

struct WindowBox {
  int64_t image = 0, images = 0;
  int64_t row = 0, rows = 0;
  int64_t column = 0, columns = 0;
};

}  // namespace lathe::cpu
