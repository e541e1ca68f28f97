// The data sets there are: one line each in `entries`.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "data/cifar.h"
#include "data/dataset.h"
#include "data/glyphs.h"
#include "data/idx.h"
#include "data/image_folder.h"
#include "data/images.h"
#include "data/sound_registry.h"
#include "data/split_entry.h"
#include "data/text_sets.h"

namespace lathe {
namespace {

using Entry = SplitRegistry::Entry;

// Data sets that are files in a folder.
struct FolderOptions {
  std::string root;
  ImageOptions images;
  void fields(FieldVisitor& v) {
    v.visit("root", root, {.doc = "folder of the data set's files"});
    images.fields(v);
  }
};

struct Cifar100Options {
  std::string root = "data/cifar100";
  std::string labels = "fine";
  ImageOptions images;
  void fields(FieldVisitor& v) {
    v.visit("root", root, {.doc = "folder of the data set's files"});
    v.visit("labels", labels, {.doc = "100 fine or 20 coarse classes", .choices = {"fine", "coarse"}});
    images.fields(v);
  }
};

struct GlyphsOptions {
  int64_t train = 20000, test = 4000;
  int64_t seed = 1;
  ImageOptions images;
  void fields(FieldVisitor& v) {
    v.visit("train", train, {.doc = "training pictures", .min = 1, .max = 1e7});
    v.visit("test", test, {.doc = "test pictures", .min = 1, .max = 1e7});
    v.visit("seed", seed, {.doc = "of the pictures; the run's seed does not change them", .min = 0});
    images.fields(v);
  }
};

ImageOptions image_defaults(const std::vector<double>& mean, const std::vector<double>& std) {
  ImageOptions options;
  options.normalize = normalize_section(mean, std);
  return options;
}

// An image data set: open(options, where, split, seed) gives a split.
template <class Options, class Open>
Entry picture_entry(std::string name, std::string doc, Options defaults, Open open) {
  return with_augment(split_entry(std::move(name), std::move(doc), std::move(defaults), open),
                      augment_registry(), &resolve_images);
}

// One in memory: `read` gives a split's images.
template <class Options, class Read>
Entry image_entry(std::string name, std::string doc, Options defaults, Read read) {
  return picture_entry(
      std::move(name), std::move(doc), std::move(defaults),
      [read](const Options& options, const FieldPath& where, const std::string& split, uint64_t seed) {
        const int64_t limit = options.images.common.limited(split, kNoLimit);
        return std::make_unique<ImageDataset>(read(options, split, limit), options.images, where, seed);
      });
}

Entry idx_entry(const std::string& name, std::string doc, const ImageOptions& images,
                std::vector<std::string> class_names) {
  return image_entry(name, std::move(doc), FolderOptions{"data/" + name, images},
                     [name, class_names](const FolderOptions& o, const std::string& split, int64_t limit) {
                       ImageSet set = read_idx(name, o.root, split, limit);
                       set.class_names = class_names;
                       return set;
                     });
}

std::vector<Entry> entries() {
  std::vector<Entry> all;
  // The normalisers are the published figures of the training splits; those of glyphs are measured.
  all.push_back(
      image_entry("glyphs", "generated 32x32 colour pictures of the ten digits, nothing to download",
                  GlyphsOptions{.images = image_defaults({0.5, 0.5, 0.5}, {0.256, 0.256, 0.256})},
                  [](const GlyphsOptions& o, const std::string& split, int64_t limit) {
                    const int64_t count = split == "train" ? o.train : o.test;
                    return generate_glyphs(std::min(count, limit), static_cast<uint64_t>(o.seed), split);
                  }));
  all.push_back(image_entry(
      "cifar10", "CIFAR-10, binary version",
      FolderOptions{"data/cifar10", image_defaults({0.4914, 0.4822, 0.4465}, {0.2470, 0.2435, 0.2616})},
      [](const FolderOptions& o, const std::string& split, int64_t limit) {
        return read_cifar10(o.root, split, limit);
      }));
  all.push_back(image_entry(
      "cifar100", "CIFAR-100, binary version",
      Cifar100Options{.images = image_defaults({0.5071, 0.4867, 0.4408}, {0.2675, 0.2565, 0.2761})},
      [](const Cifar100Options& o, const std::string& split, int64_t limit) {
        return read_cifar100(o.root, split, o.labels == "fine" ? CifarLabels::Fine : CifarLabels::Coarse,
                             limit);
      }));
  all.push_back(idx_entry("fashion_mnist", "Fashion-MNIST in IDX files, plain or .gz",
                          image_defaults({0.2860}, {0.3530}),
                          {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt",
                           "Sneaker", "Bag", "Ankle boot"}));
  all.push_back(idx_entry("mnist", "MNIST in IDX files, plain or .gz", image_defaults({0.1307}, {0.3081}),
                          {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}));
  all.push_back(picture_entry(
      "image_folder", "PNG and JPEG pictures, a folder for each class",
      ImageFolderOptions{.images = image_defaults({0.485, 0.456, 0.406}, {0.229, 0.224, 0.225})},
      &open_image_folder));
  for (Entry& sound : sound_entries()) all.push_back(std::move(sound));
  for (Entry& entry : text_entries()) all.push_back(std::move(entry));
  return all;
}

DataRegistry::Entry both_splits(const Entry& split) {
  DataRegistry::Entry entry;
  entry.name = split.name;
  entry.doc = split.doc;
  entry.build = [build = split.build](const Value& section, const FieldPath& where, uint64_t seed) {
    return DataSplits{build(section, where, "train", seed), build(section, where, "test", seed)};
  };
  entry.resolve = split.resolve;
  entry.schema = split.schema;
  return entry;
}

}  // namespace

const SplitRegistry& split_registry() {
  static const SplitRegistry registry("data set", entries());
  return registry;
}

const DataRegistry& data_registry() {
  static const DataRegistry registry("data set", [] {
    std::vector<DataRegistry::Entry> all;
    for (const Entry& split : split_registry().entries()) all.push_back(both_splits(split));
    return all;
  }());
  return registry;
}

}  // namespace lathe
