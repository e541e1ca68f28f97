// Packed files with fitting checksums whose headers say what their tensors are not.

#include "core/files.h"
#include "core/json.h"
#include "quant/pack/format.h"
#include "tests/quant/packed_files.h"
#include "tests/tools/bad_inputs.h"

namespace lathe::tests {
namespace {

using Edit = std::function<void(Value& header)>;

/// run/model.lathe with another header.
Prepare header(const Edit& edit) {
  return trained([=](const std::filesystem::path& run) {
    FileParts parts = FileParts::of(read_bytes(run / "model.lathe"));
    Value whole = parse_json(parts.sections[1], "header");
    edit(whole);
    parts.sections[1] = quant::header_text(whole, "header");
    write_atomic(run / "model.lathe", parts.bytes());
  });
}

Value repeated(int64_t number, int64_t times) {
  Value list = Value::array();
  for (int64_t i = 0; i < times; ++i) list.push_back(Value::integer(number));
  return list;
}

/// `path`: "model.hidden".
BadInput edited(std::string name, const std::string& path, const Value& value, std::vector<std::string> says,
                std::vector<std::string> command = {"eval", "run/model.lathe"}) {
  says.insert(says.begin(), "run/model.lathe");
  const size_t dot = path.find('.');
  const std::string section = path.substr(0, dot), key = path.substr(dot + 1);
  return {std::move(name), header([=](Value& whole) { whole.find(section)->set(key, value); }),
          std::move(command), 4, std::move(says)};
}

}  // namespace

std::vector<BadInput> bad_packed() {
  const std::vector<std::string> run = {"run", "run/model.lathe", "x.png"},
                                 info = {"info", "run/model.lathe"};
  Value wide = repeated(1 << 20, 2);
  wide.push_back(Value::integer(3));
  Value other = repeated(16, 2);
  other.push_back(Value::integer(3));
  return {
      edited("packed header of a layer for 80 GB", "model.hidden", repeated(2'000'000'000, 1),
             {"layers.0.", "the model expects (2000000000"}),
      edited("packed header of a layer for 80 GB, run", "model.hidden", repeated(2'000'000'000, 1),
             {"layers.0.", "the model expects (2000000000"}, run),
      edited("packed header of pictures for 211 TB", "model.input", wide,
             {"layers.0.weight", "the model expects (4, 3298534883328)"}),
      edited("packed header of millions of layers", "model.hidden", repeated(1, 2'000'000),
             {"model: ", "the model has more than 8 parameters"}),
      edited("packed header of millions of layers, run", "model.hidden", repeated(1, 2'000'000),
             {"model: ", "the model has more than 8 parameters"}, run),
      edited("packed header of more numbers than there are", "model.hidden", repeated(INT64_MAX / 2, 1),
             {"model: ", "does not fit"}),
      edited("packed header of samples beyond any memory", "input.shape", repeated(1 << 20, 7),
             {"input.shape: ", "at most 2147483648 numbers", "found {"}),
      edited("packed header of samples beyond any memory, info", "input.shape", repeated(1 << 20, 3),
             {"input.shape: ", "at most 2147483648 numbers", "found {"}, info),
      edited("packed header of other pictures", "input.shape", other,
             {"input.shape: ", "mlp: the image is 16x16"}, info),
      edited("packed header of other pictures, run", "input.shape", other,
             {"input.shape: ", "mlp: the image is 16x16"}, run),
      edited("packed header of a model that no tensor fits", "model.hidden", repeated(4, 2),
             {"layers.1.weight is missing"}),
  };
}

}  // namespace lathe::tests
