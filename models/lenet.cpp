#include "models/lenet.h"

#include "autograd/ops/activations.h"
#include "autograd/ops/pool.h"
#include "layers/blocks.h"

namespace lathe {
namespace {

// Side of the map after both convolutions and poolings; the first convolution keeps the size.
int64_t final_side(int64_t image) {
  return (image / 2 - 4) / 2;
}

Var pool(const Var& x) {
  return max_pool2d(x, {.kernel_h = 2, .kernel_w = 2, .stride_h = 2, .stride_w = 2});
}

}  // namespace

LeNet::LeNet(const LeNetOptions& options, const RootOptions& root)
    : ImageModel(root),
      options_(options),
      conv1_(*this, "conv1", options.channels, 6, {.kernel = 5, .pad = 2, .bias = true}),
      conv2_(*this, "conv2", 6, 16, {.kernel = 5, .bias = true}),
      fc1_(*this, "fc1", 16 * final_side(options.image) * final_side(options.image), 120),
      fc2_(*this, "fc2", 120, 84),
      fc3_(*this, "fc3", 84, options.classes) {}

Var LeNet::logits(const Var& images) {
  expect_images(images, options_.channels);
  LATHE_CHECK(ShapeError, images.dim(1) == options_.image && images.dim(2) == options_.image,
              "lenet: the image is ", images.dim(1), "x", images.dim(2), ", the option 'image' says ",
              options_.image, "x", options_.image);
  const Var map = pool(relu(conv2_(pool(relu(conv1_(images))))));
  return fc3_(relu(fc2_(relu(fc1_(flatten_channels_first(map))))));
}

}  // namespace lathe
