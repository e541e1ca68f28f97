// safetensors files, through `lathe import`.

#include "core/files.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "models/registry.h"
#include "tests/tools/bad_inputs.h"
#include "train/weights.h"

namespace lathe::tests {
namespace {

namespace fs = std::filesystem;

std::string length_of(uint64_t length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(length >> (8 * i)));
  return bytes;
}

std::string container(const std::string& header, size_t data_bytes) {
  return length_of(header.size()) + header + std::string(data_bytes, '\0');
}

// {"a": one tensor}
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

// Two tensors of two floats at the given bytes.
std::string two(const std::string& a, const std::string& b) {
  return R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)" + a +
         R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":)" + b + "}}";
}

// w.safetensors: weights of the default `mlp`, changed.
Prepare weights(const std::function<void(std::vector<NamedTensor>&)>& change) {
  return [=](const fs::path& folder) {
    const Value section = Value::object({{"type", Value::string("mlp")}});
    const auto model = model_registry().build(section, {"", "model"}, RootOptions{});
    std::vector<NamedTensor> tensors = to_pytorch(*model);
    change(tensors);
    write_safetensors(folder / "w.safetensors", tensors);
  };
}

NamedTensor& named(std::vector<NamedTensor>& tensors, std::string_view name) {
  for (NamedTensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::out_of_range(std::string(name));
}

const std::vector<std::string> kImport = {"import", "w.safetensors", "--model", "mlp", "-o", "new"};

BadInput bytes(std::string name, const std::string& content, std::vector<std::string> says) {
  says.insert(says.begin(), "w.safetensors: ");
  return {std::move(name), file("w.safetensors", content), kImport, 4, std::move(says)};
}

BadInput misfit(std::string name, const std::function<void(std::vector<NamedTensor>&)>& change,
                std::vector<std::string> says) {
  says.insert(says.begin(), "w.safetensors: the weights do not fit the model: ");
  return {std::move(name), weights(change), kImport, 4, std::move(says)};
}

std::vector<BadInput> headers() {
  return {
      bytes("empty safetensors", "", {"0 bytes are too few"}),
      bytes("safetensors too short", "1234567", {"7 bytes are too few"}),
      bytes("header longer than the file", length_of(100) + "{}", {"header of 100 bytes", "file of 10"}),
      bytes("header beyond any file", length_of(~uint64_t{0}) + "{}",
            {"header of 18446744073709551615 bytes", "limit of 100000000"}),
      bytes("header that is text", container("tensors!", 0), {"header does not start with '{'"}),
      bytes("header that is no JSON", container("{\"a\": }", 0), {"header", "expected a value", "found '}'"}),
      bytes("header that is a list", container("[]", 0), {"header does not start with '{'"}),
      bytes("tensor given twice",
            container(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                      R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})",
                      4),
            {"header", "'a' appears twice"}),
      bytes("tensor that is a number", container(R"({"a":5})", 0),
            {"tensor 'a'", "expected an object", "found an integer"}),
      bytes("unknown key of a tensor",
            container(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"order":"C"}})", 4),
            {"tensor 'a'", "unknown key 'order'"}),
      bytes("tensor without offsets", container(R"({"a":{"dtype":"F32","shape":[]}})", 4),
            {"tensor 'a'", "'data_offsets' is missing"}),
      bytes("unknown dtype", container(one("F8_E4M3", "[4]", "[0,4]"), 4), {"'a'", "dtype 'F8_E4M3'"}),
      bytes("negative shape", container(one("F32", "[-1]", "[0,4]"), 4), {"'a'", "shape", "-1 is negative"}),
      bytes("shape of reals", container(one("F32", "[1.5]", "[0,6]"), 6), {"'a'", "shape", "real number"}),
      bytes("shape that overflows", container(one("F32", "[4294967296,4294967296]", "[0,0]"), 0),
            {"tensor 'a'", "product of its shape overflows"}),
      bytes("too many axes", container(one("F32", "[1,1,1,1,1,1,1,1,1,1]", "[0,4]"), 4),
            {"tensor 'a'", "10 axes"}),
      bytes("offsets that run backwards", container(one("F32", "[1]", "[4,0]"), 4),
            {"tensor 'a'", "begin 4 is after end 0"}),
      bytes("metadata that is no text", container(R"({"__metadata__":{"format":1}})", 0),
            {"__metadata__", "'format'", "found an integer"}),
      bytes("header nested without end", container(std::string(100000, '{'), 0), {"header"}),
      bytes("header nested deep", container(R"({"a":)" + std::string(100000, '['), 0),
            {"header", "nested deeper"}),
  };
}

std::vector<BadInput> places() {
  return {
      bytes("hole between tensors", container(two("[0,8]", "[12,20]"), 20),
            {"bytes 8 to 12", "tensor 'a'", "tensor 'b'", "belong to no tensor"}),
      bytes("tensors that overlap", container(two("[0,8]", "[4,12]"), 12),
            {"tensor 'b' at byte 4 overlaps tensor 'a'"}),
      bytes("offsets beyond the file", container(one("F32", "[4]", "[0,16]"), 8),
            {"tensor 'a' ends at byte 16", "data at byte 8"}),
      bytes("shape and bytes that differ", container(one("F32", "[3]", "[0,8]"), 8),
            {"tensor 'a'", "takes 12 bytes", "span 8"}),
      bytes("trailing bytes", container(one("F32", "[2]", "[0,8]"), 11), {"the last 3 bytes"}),
      bytes("tensor of 4 EiB", container(one("U8", "[1152921504606846975]", "[0,1152921504606846975]"), 8),
            {"tensor 'a' ends at byte 1152921504606846975", "data at byte 8"}),
  };
}

std::vector<BadInput> misfits() {
  return {
      misfit("missing tensor",
             [](auto& w) { std::erase_if(w, [](auto& t) { return t.name == "linear.bias"; }); },
             {"'linear.bias' of shape (10) is missing"}),
      misfit("misspelt tensor", [](auto& w) { named(w, "linear.bias").name = "linear.bais"; },
             {"'linear.bias' of shape (10) is missing (there is 'linear.bais')"}),
      misfit("unexpected tensor",
             [](auto& w) {
               w.push_back({"head.weight", Tensor::zeros({2, 3})});
             },
             {"'head.weight' of shape (2, 3) is not in the model"}),
      misfit("tensor of another shape",
             [](auto& w) {
               named(w, "linear.weight").tensor = Tensor::zeros({100, 10});
             },
             {"'linear.weight' has shape (100, 10)", "expects (10, 100)"}),
      misfit("tensor of integers",
             [](auto& w) { named(w, "linear.bias").tensor = Tensor::zeros({10}, DType::I64); },
             {"'linear.bias' holds i64, not real numbers"}),
      misfit("no tensors at all", [](auto& w) { w.clear(); }, {"'linear.weight'", "is missing"}),
  };
}

}  // namespace

std::vector<BadInput> bad_weights() {
  std::vector<BadInput> rows = headers();
  for (auto part : {places, misfits}) {
    for (BadInput& row : part()) rows.push_back(std::move(row));
  }
  rows.push_back({"weights that are not there", nothing(), kImport, 5, {"w.safetensors: ", "No such file"}});
  rows.push_back({"weights that are a folder", file("w.safetensors/x", ""), kImport, 5, {"directory"}});
  rows.push_back({"import into a run",
                  all({trained(), weights([](auto&) {})}),
                  {"import", "w.safetensors", "--model", "mlp", "-o", "run"},
                  2,
                  {"run: ", "a run is there already"}});
  rows.push_back({"import with the data of no file",
                  weights([](auto&) {}),
                  {"import", "w.safetensors", "--model", "mlp", "--data", "exp.json", "-o", "new"},
                  5,
                  {"exp.json: ", "No such file"}});
  rows.push_back({"disk full in an import",
                  weights([](auto&) {}),
                  kImport,
                  5,
                  {"new/checkpoints/", "model.safetensors: cannot write: File too large"},
                  {},
                  20000});
  rows.push_back({"fine-tuning from weights of another model",
                  all({experiment(), weights([](auto&) {})}),
                  {"train", "exp.json", "--init", "w.safetensors", "--out", "new", "--quiet"},
                  4,
                  {"w.safetensors: the weights do not fit the model: ", "expects"}});
  return rows;
}

}  // namespace lathe::tests
