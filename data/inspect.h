#pragma once
// What `lathe data` does with a data set: describe, check, export. Functions for a caller that prints.

#include <filesystem>
#include <string>
#include <vector>

#include "core/fields.h"

namespace lathe {

/// {"train": {...}, "test": {...}}: Dataset::describe of both splits of a "data" section. A split that cannot
/// be opened has {"error": "..."} instead; DataError when neither can.
Value describe_data(const Value& section, const FieldPath& where);

struct DataFinding {
  std::string split;    ///< "train" or "test"; empty for both together
  std::string problem;  ///< as a DataError would say it
};

/// Reads every file of a data set with all checks, and looks for what is formally right but suspicious:
/// classes without a sample, images that occur twice or in both splits. Empty when all is well. ConfigError
/// for a section that is wrong itself. Limits in the section are not applied.
struct DataReport {
  std::vector<DataFinding> errors;    ///< splits that cannot be used
  std::vector<DataFinding> warnings;  ///< splits that can, with care
};
DataReport check_data(const Value& section, const FieldPath& where);

/// Writes the images of a "data" section in CIFAR-10's binary format, and a preview.png of some training
/// images, a row a class. ConfigError when the data set has no such images.
void export_cifar10(const Value& section, const FieldPath& where, const std::filesystem::path& root);

/// Writes the tracks of a "data" section of sound in MUSDB18's layout as WAV files; false, with nothing
/// written, for other data.
bool export_musdb(const Value& section, const FieldPath& where, const std::filesystem::path& root);

/// Writes the splits of a data set of texts as train.txt and test.txt; false, and nothing, for other data.
bool export_texts(const Value& section, const FieldPath& where, const std::filesystem::path& root);

/// Writes the first `count` test images as PNG files "00000-NAME.png", numbered and named after their class,
/// into `folder`. ConfigError as above.
void export_pictures(const Value& section, const FieldPath& where, int64_t count,
                     const std::filesystem::path& folder);

}  // namespace lathe
