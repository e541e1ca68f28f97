#include "tests/golden/runner.h"

#include <algorithm>
#include <map>
#include <ostream>
#include <set>

#include "tests/golden/model_sound.h"
#include "tests/golden/models.h"
#include "tests/golden/ops.h"
#include "tests/golden/quant.h"

namespace lathe::golden {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> json_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == ".json" &&
        entry.path().filename() != "_index.json")
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<GoldenResult> not_run(const fs::path& folder, const std::string& why) {
  std::vector<GoldenResult> results;
  for (const fs::path& file : json_files(folder))
    results.push_back({file.stem().string(), "", GoldenResult::Unsupported, why});
  return results;
}

void append(std::vector<GoldenResult>& all, std::vector<GoldenResult> some) {
  all.insert(all.end(), std::make_move_iterator(some.begin()), std::make_move_iterator(some.end()));
}

/// Files without a folder that says what they are: by their schema.
std::vector<GoldenResult> run_mixed(const fs::path& folder) {
  std::vector<GoldenResult> results;
  for (const fs::path& file : json_files(folder)) {
    const std::string name = file.stem().string();
    try {
      if (is_quant_golden(file)) {
        append(results, run_quant_golden(file));
        continue;
      }
      const std::string schema = read_schema(file);
      if (schema == kOpSchema) {
        append(results, run_op_file(file));
      } else if (schema == kModelSchema || schema == kDemucsEvalSchema) {
        append(results, run_model_golden(file));
      } else {
        results.push_back({name, "", GoldenResult::Unsupported, concat("schema \"", schema, "\"")});
      }
    } catch (const std::exception& error) {
      results.push_back({name, "", GoldenResult::Failed, error.what()});
    }
  }
  return results;
}

struct Tally {
  std::set<std::string> passed, failed, unsupported;
};

/// A file passes when every check of it passed.
Tally tally(const std::vector<GoldenResult>& results) {
  Tally tally;
  for (const GoldenResult& result : results) {
    if (result.status == GoldenResult::Failed) tally.failed.insert(result.file);
    if (result.status == GoldenResult::Unsupported) tally.unsupported.insert(result.file);
  }
  for (const GoldenResult& result : results) {
    if (!tally.failed.contains(result.file) && !tally.unsupported.contains(result.file))
      tally.passed.insert(result.file);
  }
  return tally;
}

constexpr const char* kStatus[] = {"passed       ", "FAILED       ", "UNSUPPORTED  "};

// What did not pass, and what passed with a remark.
void print_remarks(const std::string& group, const std::vector<GoldenResult>& results, std::ostream& out) {
  for (const GoldenResult& result : results) {
    if (result.status == GoldenResult::Passed && result.message.empty()) continue;
    out << kStatus[result.status] << group << '/' << result.file;
    if (!result.check.empty()) out << " [" << result.check << ']';
    out << ": " << result.message << '\n';
  }
}

}  // namespace

std::vector<GoldenResult> run_op(const OpFile& file) {
  const OpRow* row = find_op(file.op);
  if (row == nullptr)
    return {{file.name, "", GoldenResult::Unsupported, concat("unknown op \"", file.op, "\"")}};
  if (row->run == nullptr)
    return {{file.name, "", GoldenResult::Unsupported, concat(file.op, ": ", row->missing)}};
  std::vector<GoldenResult> results;
  for (const DType dtype : {DType::F64, DType::F32}) {
    try {
      OpRun run(file, dtype);
      row->run(run);
      append(results, run.finish());
    } catch (const Unsupported& unsupported) {
      return {{file.name, "", GoldenResult::Unsupported, unsupported.what()}};
    } catch (const std::exception& error) {
      results.push_back({file.name, std::string(to_string(dtype)), GoldenResult::Failed, error.what()});
    }
  }
  return results;
}

std::vector<GoldenResult> run_op_file(const fs::path& path) {
  const std::string name = path.stem().string();
  try {
    OpFile file = read_op_file(path);
    file.name = name;  // reported by the file's name, which is unique
    return run_op(file);
  } catch (const std::exception& error) {
    return {{name, "", GoldenResult::Failed, error.what()}};
  }
}

std::vector<GoldenResult> run_op_goldens(const fs::path& folder) {
  std::vector<GoldenResult> results;
  for (const fs::path& file : json_files(folder)) append(results, run_op_file(file));
  return results;
}

int run_goldens(const fs::path& dir, std::ostream& out) {
  if (!fs::is_directory(dir)) {
    out << "golden: " << dir.string() << " is no folder\n";
    return 1;
  }
  std::map<std::string, std::vector<GoldenResult>> groups;
  if (fs::is_directory(dir / "ops")) groups["ops"] = run_op_goldens(dir / "ops");
  if (fs::is_directory(dir / "models")) groups["models"] = run_model_goldens(dir / "models");
  if (fs::is_directory(dir / "quant")) groups["quant"] = run_quant_goldens(dir / "quant");
  if (fs::is_directory(dir / "metrics")) groups["metrics"] = not_run(dir / "metrics", "no such metrics");
  std::vector<GoldenResult> loose = run_mixed(dir);
  if (!loose.empty()) groups[fs::absolute(dir / "x").parent_path().filename().string()] = std::move(loose);

  size_t files = 0, failures = 0;
  for (const auto& [group, results] : groups) print_remarks(group, results, out);
  out << "\nfolder      passed  failed  unsupported\n";
  for (const auto& [group, results] : groups) {
    const Tally counts = tally(results);
    files += counts.passed.size() + counts.failed.size() + counts.unsupported.size();
    failures += counts.failed.size();
    const auto cell = [&out](std::string text, size_t width, bool left) {
      const std::string fill(text.size() < width ? width - text.size() : 0, ' ');
      out << (left ? text + fill : fill + text);
    };
    cell(group, 10, true);
    cell(std::to_string(counts.passed.size()), 8, false);
    cell(std::to_string(counts.failed.size()), 8, false);
    cell(std::to_string(counts.unsupported.size()), 13, false);
    for (const std::string& name : counts.unsupported) out << ' ' << name;
    out << '\n';
  }
  if (files == 0) out << "golden: no golden files in " << dir.string() << '\n';
  return files == 0 || failures > 0 ? 1 : 0;
}

}  // namespace lathe::golden
