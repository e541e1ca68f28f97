// Folders of pictures, and pictures to classify.

#include "core/error.h"
#include "core/files.h"
#include "tests/support/pictures.h"
#include "tests/tools/bad_inputs.h"

namespace lathe::tests {
namespace {

namespace fs = std::filesystem;

// d/{train,test}/{ant,bee}: two pictures in each.
void lay_out(const fs::path& folder) {
  lay_out_pictures(folder / "d", 2, 2);
}

Prepare gone(const std::string& path) {
  return [=](const fs::path& folder) { fs::remove_all(folder / path); };
}

Prepare cut(const std::string& path, size_t bytes) {
  return [=](const fs::path& folder) { truncate(folder / path, bytes); };
}

std::string jpeg_text() {
  const std::vector<std::byte> bytes = small_jpeg();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The small JPEG with `to` from `offset` behind its marker 0xff `marker` on.
std::string spoiled_jpeg(char marker, size_t offset, const std::string& to) {
  std::string text = jpeg_text();
  return text.replace(text.find(std::string{'\xff', marker}) + offset, to.size(), to);
}

Prepare folder_without_pictures(const std::string& path) {
  return [=](const fs::path& folder) {
    fs::remove_all(folder / path);
    fs::create_directories(folder / path);
  };
}

BadInput check_folder(std::string name, const Prepare& spoil, std::vector<std::string> says) {
  return {std::move(name),
          all({lay_out, spoil}),
          {"data", "check", "image_folder", "--root", "d", "--quiet"},
          3,
          std::move(says),
          {},
          {},
          "/dev/null"};
}

// exp.json on d/ with this "data" and a perceptron of this "model".
Prepare folder_experiment(const std::string& data, const std::string& model) {
  return all({lay_out,
              experiment(R"({"type": "glyphs", "train": 64, "test": 16, )",
                         R"({"type": "image_folder", "root": "d", )" + data),
              [=](const fs::path& folder) {
                replace_in(folder / "exp.json", R"("input": [32, 32, 3], "hidden": [4], "classes": 10)",
                           model);
              }});
}

BadInput train_folder(std::string name, const std::string& data, const std::string& model, int code,
                      std::vector<std::string> says, const Prepare& spoil = nothing()) {
  return {std::move(name),
          all({folder_experiment(data, model), spoil}),
          {"train", "exp.json", "--out", "run", "--quiet"},
          code,
          std::move(says)};
}

std::vector<BadInput> file_rows() {
  return {
      check_folder("truncated PNG", cut("d/train/ant/1.png", 200),
                   {"d/train/ant/1.png: ", "PNG chunk at offset 33", "the file ends early"}),
      check_folder("flipped bit of a PNG", [](const fs::path& f) { flip_bit(f / "d/test/bee/0.png", 60); },
                   {"test: ", "d/test/bee/0.png: ", "PNG chunk 'IDAT' at offset 33", "checksum"}),
      check_folder("empty picture file", file("d/train/bee/0.png", ""),
                   {"d/train/bee/0.png: expected a PNG or JPEG picture: the file is empty"}),
      check_folder("text named .png", file("d/train/bee/0.png", "this is a text\n"),
                   {"d/train/bee/0.png: expected a PNG or JPEG picture: the file begins otherwise"}),
      check_folder("several damaged pictures",
                   all({file("d/train/bee/0.png", ""), file("d/test/ant/1.png", "x")}),
                   {"2 problems", "the first: train: ", "d/train/bee/0.png"}),
      check_folder(
          "truncated JPEG", file("d/train/ant/x.jpg", jpeg_text().substr(0, 600)),
          {"d/train/ant/x.jpg: ", "a JPEG segment at offset 597 has 3 of its 10 bytes", "ends early"}),
      check_folder("JPEG without its last bytes",
                   file("d/train/ant/x.jpg", jpeg_text().substr(0, jpeg_text().size() - 2)),
                   {"d/train/ant/x.jpg: ", "the JPEG file ends early, at offset 614", "inside a scan"}),
      check_folder("JPEG with a damaged table",
                   file("d/train/ant/x.jpg", spoiled_jpeg('\xc4', 5, "\xff\xff\xff")),
                   {"d/train/ant/x.jpg: expected a PNG or JPEG picture: ", "a JPEG Huffman table of "}),
      check_folder("JPEG with arithmetic coding", file("d/train/ant/x.jpeg", spoiled_jpeg('\xc0', 1, "\xc9")),
                   {"d/train/ant/x.jpeg: expected a PNG or JPEG picture: "}),
      check_folder("JPEG larger than any memory",
                   file("d/train/ant/x.jpg", spoiled_jpeg('\xc0', 5, "\xff\xff\xff\xff")),
                   {"d/train/ant/x.jpg: a picture of 65535 x 65535 pixels", "at most 134217728"}),
  };
}

std::vector<BadInput> layout_rows() {
  return {
      check_folder("class folder without pictures", folder_without_pictures("d/train/bee"),
                   {"d/train/bee: a class without pictures", ".png, .jpg or .jpeg"}),
      check_folder("class of pictures of another kind",
                   all({folder_without_pictures("d/test/ant"), file("d/test/ant/x.bmp", "BM")}),
                   {"d/test/ant: a class without pictures", "found 'x.bmp'"}),
      check_folder("split without class folders", folder_without_pictures("d/train"),
                   {"d/train: found no folder in it", "each class"}),
      check_folder("no test split", gone("d/test"), {"d/val: there is no such folder", "test/CLASS/*.jpg"}),
      check_folder("no training split", gone("d/train"), {"train: d/train: there is no such folder"}),
      check_folder("class that only the test split has",
                   [](const fs::path& f) { fs::rename(f / "d/test/bee", f / "d/test/wasp"); },
                   {"d/test: class folder 'wasp' is not in d/train", "2 classes"}),
      check_folder("class that the test split lacks", gone("d/test/ant"),
                   {"d/test: found 1 class folders, 'ant' of d/train is missing", "the same 2"}),
  };
}

std::vector<BadInput> training_rows() {
  const std::string size = R"("size": 8, )", model = R"("input": [8, 8, 3], "hidden": [4], "classes": 2)";
  return {
      train_folder("model of other classes than the folders", size,
                   R"("input": [8, 8, 3], "hidden": [4], "classes": 3)", 2,
                   {"model.classes: ", "the model has 3 classes", "image_folder has 2"}),
      train_folder("model of another size than the pictures", R"("size": 16, )", model, 2,
                   {"model: ", "(16, 16, 3)"}),
      train_folder("unknown policy for damaged pictures", R"("corrupt": "ignore", )" + size, model, 2,
                   {"data.corrupt: ", "'ignore'", "skip"}),
      train_folder("pictures of two channels", R"("channels": 2, )" + size, model, 2,
                   {"data.channels: ", "found 2", "1 or 3"}),
      train_folder("training on a damaged picture", size, model, 3, {"d/test/ant/0.png: ", "ends early"},
                   cut("d/test/ant/0.png", 100)),
      train_folder("no picture is whole", R"("corrupt": "skip", )" + size, model, 3,
                   {"d: no picture is whole", "d/t"},
                   [](const fs::path& folder) {
                     for (const auto& entry : fs::recursive_directory_iterator(folder / "d"))
                       if (entry.is_regular_file()) truncate(entry.path(), 50);
                   }),
      {"classifying a cut JPEG",
       all({trained(), file("x.jpg", jpeg_text().substr(0, 612))}),
       {"run", "run", "x.jpg"},
       3,
       {"x.jpg: ", "ends early"}},
      {"classifying a folder", all({trained(), lay_out}), {"run", "run", "d"}, 5, {"d"}},
  };
}

}  // namespace

std::vector<BadInput> bad_pictures() {
  std::vector<BadInput> rows = file_rows();
  for (BadInput& row : layout_rows()) rows.push_back(std::move(row));
  for (BadInput& row : training_rows()) rows.push_back(std::move(row));
  return rows;
}

}  // namespace lathe::tests
