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

struct ExportOptions {
  int64_t pictures = 0;    ///< write the first so many test images as PNG files too
  bool overwrite = false;  ///< replaces files that are there already
};

enum class ExportKind {
  Images,  ///< CIFAR-10's binary format, a preview.png of some training images, a row a class, and
           ///< pictures/00000-NAME.png, numbered and named after their class
  Texts,   ///< train.txt and test.txt
  Sounds,  ///< MUSDB18's layout as WAV files
};

/// Writes both splits of a "data" section below `root`. ConfigError for a data set that has neither images in
/// memory, nor texts, nor sound, or for pictures of one without images; IoError naming a file that is there
/// already, before anything is written.
ExportKind export_data(const Value& section, const FieldPath& where, const std::filesystem::path& root,
                       const ExportOptions& options = {});

}  // namespace lathe
