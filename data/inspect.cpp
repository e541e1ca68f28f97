#include "data/inspect.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "data/cifar.h"
#include "data/dataset.h"
#include "data/image_set.h"
#include "data/musdb.h"
#include "data/picture.h"
#include "data/preview.h"
#include "data/sound_inspect.h"
#include "data/sounds.h"
#include "data/text.h"

namespace lathe {
namespace {

constexpr std::array<const char*, 2> kSplits{"train", "test"};
constexpr uint64_t kAnySeed = 0;  // of augmentation, which nothing here applies

std::unique_ptr<Dataset> open_split(const Value& section, const FieldPath& where, const std::string& split) {
  return split_registry().build(section, where, split, kAnySeed);
}

Value without_limits(Value section) {
  for (const char* key : {"limit", "eval_limit"}) {
    if (section.find(key) != nullptr) section.set(key, Value());
  }
  return section;
}

// Does one damaged file make the split useless?
bool refuses_damage(const Value& section, const FieldPath& where) {
  const Value resolved = split_registry().resolve(section, where);
  const Value* corrupt = resolved.find("corrupt");
  return corrupt != nullptr && corrupt->as_string() == "error";
}

// Hashes of all images, sorted. Equal hashes of 64 bits count as equal images.
std::vector<uint64_t> image_hashes(const ImageSet& set) {
  std::vector<uint64_t> hashes;
  for (int64_t i = 0; i < set.size(); ++i) {
    hashes.push_back(hash_of(std::as_bytes(set.image(i))));
  }
  std::sort(hashes.begin(), hashes.end());
  return hashes;
}

void look_at_split(const ImageSet& set, const std::vector<uint64_t>& hashes,
                   std::vector<DataFinding>& warnings) {
  std::vector<int64_t> counts(static_cast<size_t>(set.classes));
  for (const int32_t label : set.labels) ++counts[static_cast<size_t>(label)];
  for (size_t c = 0; c < counts.size(); ++c) {
    if (counts[c] == 0) warnings.push_back({set.split, concat("class ", c, " has no sample")});
  }
  int64_t repeated = 0;
  for (size_t i = 1; i < hashes.size(); ++i) repeated += hashes[i] == hashes[i - 1];
  if (repeated > 0) {
    warnings.push_back({set.split, concat(repeated, " of ", set.size(), " images repeat an earlier one")});
  }
}

// Images of `test` that stand in `train` too.
int64_t shared_images(const std::vector<uint64_t>& train, const std::vector<uint64_t>& test) {
  return std::count_if(test.begin(), test.end(), [&train](uint64_t hash) {
    return std::binary_search(train.begin(), train.end(), hash);
  });
}

const ImageSet& images_of(const Dataset& dataset, const Value& section, const FieldPath& where) {
  if (dataset.images() == nullptr)
    config_error(where, section.line(),
                 concat("'", dataset.info().type, "' is not a set of images in memory"));
  return *dataset.images();
}

// The tracks of a data set of sound, else null.
const SoundSet* sounds_of(const Dataset& dataset) {
  const auto* sounds = dynamic_cast<const SoundDataset*>(&dataset);
  return sounds == nullptr ? nullptr : &sounds->sounds();
}

void look_at_sound_splits(const std::array<std::unique_ptr<Dataset>, 2>& splits, DataReport& report) {
  for (size_t i = 0; i < splits.size(); ++i) {
    const SoundSet* set = splits[i] == nullptr ? nullptr : sounds_of(*splits[i]);
    if (set == nullptr) continue;
    try {
      for (std::string& problem : look_at_sounds(*set)) report.warnings.push_back({kSplits[i], problem});
    } catch (const DataError& error) {
      report.errors.push_back({kSplits[i], error.what()});
      return;
    }
  }
  if (splits[0] == nullptr || splits[1] == nullptr || sounds_of(*splits[0]) == nullptr) return;
  for (const std::string& name : shared_tracks(*sounds_of(*splits[0]), *sounds_of(*splits[1])))
    report.warnings.push_back({"", concat("test track '", name, "' stands in train too")});
}

using Paths = std::vector<std::filesystem::path>;

void refuse_existing(const Paths& files, const ExportOptions& options) {
  if (options.overwrite) return;
  for (const auto& file : files) {
    LATHE_CHECK(IoError, !std::filesystem::exists(file), file.string(),
                ": is there already; choose another folder, or say --overwrite");
  }
}

ExportKind kind_of(const Dataset& dataset) {
  if (sounds_of(dataset) != nullptr) return ExportKind::Sounds;
  return dynamic_cast<const TextDataset*>(&dataset) != nullptr ? ExportKind::Texts : ExportKind::Images;
}

std::filesystem::path picture_file(const std::filesystem::path& folder, const ImageSet& images, int64_t i) {
  const auto label = static_cast<size_t>(images.labels[static_cast<size_t>(i)]);
  std::string number = std::to_string(i);
  number.insert(0, 5 - std::min<size_t>(5, number.size()), '0');
  const std::string name =
      label < images.class_names.size() ? images.class_names[label] : std::to_string(label);
  return folder / concat(number, "-", name, ".png");
}

void write_images(const std::filesystem::path& root, const ImageSet& train, const ImageSet& test,
                  const ExportOptions& options) {
  const std::filesystem::path preview = root / "preview.png", folder = root / "pictures";
  Paths pictures;
  for (int64_t i = 0; i < std::min(options.pictures, test.size()); ++i)
    pictures.push_back(picture_file(folder, test, i));
  Paths files = cifar10_files(root);
  files.push_back(preview);
  files.insert(files.end(), pictures.begin(), pictures.end());
  refuse_existing(files, options);
  write_cifar10(root, train, test);
  write_preview(preview, train);
  if (!pictures.empty()) std::filesystem::create_directories(folder);
  for (size_t i = 0; i < pictures.size(); ++i) {
    const std::span<const uint8_t> pixels = test.image(static_cast<int64_t>(i));
    write_png(pictures[i], {test.height, test.width, test.channels, {pixels.begin(), pixels.end()}});
  }
}

void write_texts(const std::filesystem::path& root, const std::array<const Dataset*, 2>& splits,
                 const ExportOptions& options) {
  Paths files;
  for (const char* split : kSplits) files.push_back(root / concat(split, ".txt"));
  refuse_existing(files, options);
  std::filesystem::create_directories(root);
  for (size_t i = 0; i < files.size(); ++i) {
    const auto& text = dynamic_cast<const TextDataset&>(*splits[i]);
    write_atomic(files[i], text.vocabulary().decode(text.tokens()));
  }
}

void write_sounds(const std::filesystem::path& root, const SoundSet& train, const SoundSet& test,
                  const ExportOptions& options) {
  for (const SoundSet* set : {&train, &test}) refuse_existing(musdb_files(root, *set), options);
  for (const SoundSet* set : {&train, &test}) write_musdb(root, *set);
}

}  // namespace

Value describe_data(const Value& section, const FieldPath& where) {
  Value out = Value::object();
  std::string first_error;
  int opened = 0;
  for (const char* split : kSplits) {
    try {
      out.set(split, open_split(section, where, split)->describe());
      ++opened;
    } catch (const DataError& error) {
      if (first_error.empty()) first_error = error.what();
      out.set(split, Value::object({{"error", Value::string(error.what())}}));
    }
  }
  LATHE_CHECK(DataError, opened > 0, first_error);
  return out;
}

DataReport check_data(const Value& section, const FieldPath& where) {
  Value whole = without_limits(section);
  const bool strict = refuses_damage(section, where);
  if (strict) whole.set("corrupt", Value::string("skip"));  // so that all damaged files are found
  DataReport report;
  std::array<std::vector<uint64_t>, 2> hashes;
  std::array<std::unique_ptr<Dataset>, 2> splits;
  for (size_t i = 0; i < kSplits.size(); ++i) {
    try {
      splits[i] = open_split(whole, where, kSplits[i]);
      for (std::string& problem : splits[i]->oddities())
        report.warnings.push_back({kSplits[i], std::move(problem)});
      for (std::string& problem : splits[i]->left_out())
        (strict ? report.errors : report.warnings).push_back({kSplits[i], std::move(problem)});
      const ImageSet* images = splits[i]->images();
      if (images == nullptr) continue;
      hashes[i] = image_hashes(*images);
      look_at_split(*images, hashes[i], report.warnings);
    } catch (const DataError& error) {
      report.errors.push_back({kSplits[i], error.what()});
    }
  }
  look_at_sound_splits(splits, report);
  if (const int64_t shared = shared_images(hashes[0], hashes[1]); shared > 0) {
    report.warnings.push_back(
        {"", concat(shared, " of ", hashes[1].size(), " test images stand in train too")});
  }
  return report;
}

ExportKind export_data(const Value& section, const FieldPath& where, const std::filesystem::path& root,
                       const ExportOptions& options) {
  const auto train = open_split(section, where, "train"), test = open_split(section, where, "test");
  const ExportKind kind = kind_of(*train);
  if (kind != ExportKind::Images && options.pictures > 0)
    config_error(where, section.line(), concat("'", train->info().type, "' has no pictures"));
  switch (kind) {
    case ExportKind::Images:
      write_images(root, images_of(*train, section, where), images_of(*test, section, where), options);
      break;
    case ExportKind::Texts:
      write_texts(root, {train.get(), test.get()}, options);
      break;
    case ExportKind::Sounds:
      write_sounds(root, *sounds_of(*train), *sounds_of(*test), options);
      break;
  }
  return kind;
}

}  // namespace lathe
