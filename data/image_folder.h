#pragma once
// Classes as folders of pictures: root/train/CLASS/*.jpg and root/test/CLASS/*.jpg (or val), as ImageNet is
// laid out.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "data/images.h"
#include "data/resample.h"

namespace lathe {

struct ImageFolderOptions {
  std::string root = "data/imagenet";
  int64_t size = 224;
  int64_t channels = 3;
  std::string test_folder = {};  ///< empty: "test" where it is there, else "val"
  double crop_pct = 0.875;
  std::string interpolation = "bilinear";
  std::string corrupt = "error";
  int64_t cache_mib = 256;
  ImageOptions images = {};
  void fields(FieldVisitor& v);
};

/// One split ("train" or "test"). Classes are the training split's folders sorted by name (by bytes), the
/// test split's where there are no others; both splits must have the same ones. Files named *.png, *.jpg and
/// *.jpeg, in any case, are pictures, sorted by name; others are ignored, hidden ones too. Sample i is of the
/// i-th turn round the classes, so that a limit takes as many of each: the first of each class, then the
/// second, ...
///
/// Pictures are decoded when they are asked for. Where all of a split's fit in cache_mib they are kept. Up to
/// 1 GiB of files are read and checked (check_picture) when the split is opened, and the content hash is of
/// the names and bytes; beyond, of the names and sizes. "corrupt": with "error" a damaged picture is a
/// DataError, when it is found; with "skip" all pictures are decoded when the split is opened and damaged
/// ones are left out, so that a run stays a function of the files. DataError: folder or file, found,
/// expected.
std::unique_ptr<Dataset> open_image_folder(const ImageFolderOptions& options, const FieldPath& where,
                                           const std::string& split, uint64_t seed);

/// What evaluation makes of a picture of any size.
struct EvaluationInput {
  Shape sample;  ///< (H, W, C)
  CentreCrop crop;
};
/// Of a resolved "data" section; empty where its data set has none of its own.
std::optional<EvaluationInput> evaluation_input(const Value& data);

}  // namespace lathe
