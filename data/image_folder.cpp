#include "data/image_folder.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/parallel.h"
#include "data/folder_list.h"
#include "data/picture.h"
#include "data/picture_check.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMostHashed = uint64_t{1} << 30;  // bytes of files that are read when a split is opened
constexpr int64_t kGrain = 16;                       // files of a thread's turn

Interpolation interpolation_of(const std::string& name) {
  return name == "bicubic" ? Interpolation::Bicubic : Interpolation::Bilinear;
}

/// Calls body(i) for the numbers of all files, on any threads.
template <class Body>
void for_each_file(int64_t count, const Body& body) {
  parallel_for(count, kGrain, [&](int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; ++i) body(i);
  });
}

std::string problem_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const DataError& error) {
    return error.what();
  } catch (const IoError& error) {
    return error.what();
  }
  return {};
}

// Pictures once decoded; each is decoded by the first that asks.
class PictureCache {
 public:
  explicit PictureCache(int64_t count)
      : pictures_(static_cast<size_t>(count)), done_(new std::once_flag[pictures_.size()]) {}

  template <class Decode>
  const Picture& get(int64_t index, const Decode& decode) {
    const auto i = static_cast<size_t>(index);
    std::call_once(done_[i], [&] { pictures_[i] = decode(); });
    return pictures_[i];
  }

 private:
  std::vector<Picture> pictures_;
  std::unique_ptr<std::once_flag[]> done_;
};

class ImageFolder : public Dataset {
 public:
  ImageFolder(const ImageFolderOptions& options, const FieldPath& where, const std::string& split,
              uint64_t seed);

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  const DatasetInfo& info() const override { return info_; }
  int64_t repeats() const override { return options_.images.repeats; }
  Batch allocate(int64_t n) const override { return pipeline_.allocate(n, info_.sample, info_.classes); }
  void load(int64_t index, uint32_t epoch, Batch& batch, int64_t slot) const override;
  void finish(Batch& batch, uint32_t epoch, int64_t number) const override {
    pipeline_.finish(batch, seed_, epoch, number);
  }
  Value describe() const override;
  std::vector<std::string> left_out() const override { return left_out_; }

 private:
  Picture decode(const FolderFile& file) const { return read_picture(file.path, options_.channels); }
  void leave_out_damaged();
  std::string look_at_files();
  void describe_pixels(Value& out) const;

  ImageFolderOptions options_;
  ImagePipeline pipeline_;
  uint64_t seed_;
  std::vector<FolderFile> files_;  // of sample i
  std::vector<std::string> left_out_;
  DatasetInfo info_;
  std::unique_ptr<PictureCache> cache_;  // null where the pictures do not fit
};

ImageFolder::ImageFolder(const ImageFolderOptions& options, const FieldPath& where, const std::string& split,
                         uint64_t seed)
    : options_(options), pipeline_(options.images, where, options.channels, split), seed_(seed) {
  pipeline_.centre = {options.crop_pct, interpolation_of(options.interpolation)};
  FolderSplit list = list_folder_split(options.root, split, options.test_folder);
  files_ = std::move(list.files);
  if (options.corrupt == "skip") leave_out_damaged();
  const auto wanted = options.images.common.limited(split, size());
  files_.resize(static_cast<size_t>(wanted));
  info_ = {.type = "image_folder",
           .split = split,
           .task = DataTask::Classification,
           .sample = {options.size, options.size, options.channels},
           .classes = static_cast<int64_t>(list.classes.size()),
           .class_names = std::move(list.classes),
           .content_hash = {}};
  info_.content_hash = look_at_files();
}

void ImageFolder::leave_out_damaged() {
  std::vector<std::string> problems(files_.size());
  for_each_file(size(), [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    problems[at] = problem_of([&] { decode(files_[at]); });
  });
  std::vector<FolderFile> whole;
  for (size_t i = 0; i < files_.size(); ++i) {
    if (problems[i].empty()) {
      whole.push_back(std::move(files_[i]));
    } else {
      left_out_.push_back(std::move(problems[i]));
    }
  }
  files_ = std::move(whole);
  LATHE_CHECK(DataError, !files_.empty(), options_.root,
              ": no picture is whole; the first: ", left_out_.front());
}

// Checks the files, makes the cache where they fit, and returns the hash of names and bytes: each file's name
// from its class on, its size as 8 bytes and, in sets that are read, the hash of its bytes.
std::string ImageFolder::look_at_files() {
  uint64_t bytes = 0;
  for (const FolderFile& file : files_) bytes += file.bytes;
  const bool read = bytes <= kMostHashed;
  std::vector<uint64_t> hashes(files_.size());
  std::atomic<int64_t> decoded = 0;
  if (read) {
    for_each_file(size(), [&](int64_t i) {
      const FolderFile& file = files_[static_cast<size_t>(i)];
      const std::vector<std::byte> content = read_bytes(file.path);
      hashes[static_cast<size_t>(i)] = hash_of(content);
      const PictureSize found = check_picture(content, file.path.string());
      decoded += found.height * found.width * options_.channels;
    });
    if (decoded <= options_.cache_mib << 20) cache_ = std::make_unique<PictureCache>(size());
  }
  Hash hash;
  const auto add = [&](uint64_t number) {
    std::array<std::byte, 8> little;
    for (size_t k = 0; k < little.size(); ++k) little[k] = static_cast<std::byte>(number >> (8 * k));
    hash.add(little);
  };
  for (size_t i = 0; i < files_.size(); ++i) {
    const std::string name = concat(info_.class_names[static_cast<size_t>(files_[i].label)], "/",
                                    files_[i].path.filename().string());
    hash.add(std::as_bytes(std::span(name)));
    add(files_[i].bytes);
    if (read) add(hashes[i]);
  }
  return hash.hex();
}

void ImageFolder::load(int64_t index, uint32_t epoch, Batch& batch, int64_t slot) const {
  LATHE_ASSERT(0 <= index && index < size() && 0 <= slot && slot < batch.inputs.at(0).dim(0));
  const FolderFile& file = files_[static_cast<size_t>(index)];
  Picture own;
  if (!cache_) own = decode(file);
  const Picture& picture = cache_ ? cache_->get(index, [&] { return decode(file); }) : own;
  pipeline_.load({picture.pixels.data(), picture.height, picture.width, picture.channels}, file.label,
                 ImagePipeline::words(seed_, epoch), index, batch, slot);
}

// Channels' mean and deviation in [0, 1] as evaluation sees the pictures, and the pictures' own sizes.
void ImageFolder::describe_pixels(Value& out) const {
  const auto c = static_cast<size_t>(options_.channels);
  std::vector<uint64_t> sums(c), squares(c);
  const int64_t side = options_.size;
  std::vector<uint8_t> pixels(static_cast<size_t>(side * side * options_.channels));
  std::vector<int64_t> heights, widths;
  for (int64_t i = 0; i < size(); ++i) {
    const Picture& picture = cache_->get(i, [&] { return decode(files_[static_cast<size_t>(i)]); });
    heights.push_back(picture.height);
    widths.push_back(picture.width);
    pipeline_.centre({picture.pixels.data(), picture.height, picture.width, picture.channels},
                     {pixels.data(), side, side, options_.channels});
    for (size_t k = 0; k < pixels.size(); ++k) {
      sums[k % c] += pixels[k];
      squares[k % c] += uint64_t{pixels[k]} * pixels[k];
    }
  }
  const double n = static_cast<double>(size() * side * side);
  Value mean = Value::array(), std = Value::array();
  for (size_t k = 0; k < c; ++k) {
    const double m = static_cast<double>(sums[k]) / n;
    const double variance = static_cast<double>(squares[k]) / n - m * m;
    mean.push_back(Value::real(m / 255));
    std.push_back(Value::real(std::sqrt(std::max(0.0, variance)) / 255));
  }
  const auto range = [](const std::vector<int64_t>& values) {
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    return Value::array({Value::integer(*least), Value::integer(*most)});
  };
  out.set("heights", range(heights));
  out.set("widths", range(widths));
  out.set("mean", std::move(mean));
  out.set("std", std::move(std));
}

Value ImageFolder::describe() const {
  Value out = Dataset::describe();
  std::vector<int64_t> counts(info_.class_names.size());
  uint64_t bytes = 0;
  for (const FolderFile& file : files_) {
    ++counts[static_cast<size_t>(file.label)];
    bytes += file.bytes;
  }
  Value per_class = Value::array(), skipped = Value::array();
  for (const int64_t count : counts) per_class.push_back(Value::integer(count));
  for (const std::string& problem : left_out_) skipped.push_back(Value::string(problem));
  out.set("samples_per_class", per_class);
  out.set("file_bytes", Value::integer(static_cast<int64_t>(bytes)));
  out.set("in_memory", Value::boolean(cache_ != nullptr));
  out.set("skipped", std::move(skipped));
  if (cache_) describe_pixels(out);
  return out;
}

}  // namespace

void ImageFolderOptions::fields(FieldVisitor& v) {
  v.visit("root", root, {.doc = "folder with train/CLASS/*.jpg and test/CLASS/*.jpg; .png and .jpeg too"});
  v.visit("size", size, {.doc = "height and width of a sample", .min = 1, .max = 4096});
  v.visit("channels", channels, {.doc = "3, or 1: pictures turned to grey", .min = 1, .max = 3});
  v.visit("test_folder", test_folder, {.doc = "name of the test split's folder; empty: test, else val"});
  v.visit("crop_pct", crop_pct,
          {.doc = "evaluation scales the shorter side to size / crop_pct and cuts out the centre",
           .min = 0.1,
           .max = 1});
  v.visit("interpolation", interpolation, {.doc = "of that scaling", .choices = {"bilinear", "bicubic"}});
  v.visit(
      "corrupt", corrupt,
      {.doc = "damaged pictures: error, or skip: left out of the split, all of which is decoded to find them",
       .choices = {"error", "skip"}});
  v.visit("cache_mib", cache_mib,
          {.doc = "decoded pictures are kept if all of a split's fit", .min = 0, .max = 1e6});
  images.fields(v);
}

std::unique_ptr<Dataset> open_image_folder(const ImageFolderOptions& options, const FieldPath& where,
                                           const std::string& split, uint64_t seed) {
  if (options.channels == 2) config_error(where / "channels", 0, "found 2, expected 1 or 3");
  return std::make_unique<ImageFolder>(options, where, split, seed);
}

std::optional<EvaluationInput> evaluation_input(const Value& data) {
  const Value* type = data.find("type");
  if (type == nullptr || !type->is(Value::Type::String) || type->as_string() != "image_folder") return {};
  const int64_t size = data.find("size")->as_int();
  return EvaluationInput{
      {size, size, data.find("channels")->as_int()},
      {data.find("crop_pct")->as_real(), interpolation_of(data.find("interpolation")->as_string())}};
}

}  // namespace lathe
