// Class folders of pictures: their order, their hash, what is refused and what is left out.

#include "data/image_folder.h"

#include <fstream>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "core/parallel.h"
#include "data/inspect.h"
#include "data/loader.h"
#include "data/picture_check.h"
#include "tests/support/pictures.h"
#include "tests/support/scratch.h"

namespace lathe::tests {
namespace {

namespace fs = std::filesystem;

const FieldPath kWhere{"exp.json", "data"};

Value section(const fs::path& root, const std::string& more = "") {
  return parse_json(R"({"type": "image_folder", "size": 8, "root": ")" + root.string() + '"' + more + "}",
                    "exp.json");
}

std::unique_ptr<Dataset> open(const fs::path& root, const std::string& more = "",
                              const std::string& split = "train") {
  return split_registry().build(section(root, more), kWhere, split, 1);
}

std::vector<float> sample(const Dataset& data, int64_t index, uint32_t epoch = 0) {
  Batch batch = data.allocate(1);
  data.load(index, epoch, batch, 0);
  const auto x = batch.inputs[0].span<float>();
  return {x.begin(), x.end()};
}

int64_t label(const Dataset& data, int64_t index) {
  Batch batch = data.allocate(1);
  data.load(index, 0, batch, 0);
  return batch.targets[0].ptr<int64_t>()[0];
}

void cut_short(const fs::path& path) {
  fs::resize_file(path, fs::file_size(path) / 2);
}

}  // namespace

TEST_SUITE_BEGIN("data");

TEST_CASE("image_folder: classes by name, samples round the classes, any extension, hidden files aside") {
  const ScratchFolder scratch;
  lay_out_pictures(scratch.path(), 2, 1);
  const auto bytes = small_jpeg();
  for (const char* name :
       {"train/bee/z.JPEG", "train/bee/y.jpg", "train/.hidden/x.jpg", "train/ant/.x.jpg"}) {
    fs::create_directories((scratch / name).parent_path());
    write_atomic(scratch / name, bytes);
  }
  write_atomic(scratch / "train/ant/notes.txt", std::string_view("about ants"));
  const auto data = open(scratch.path());
  CHECK(data->size() == 6);
  CHECK(data->info().class_names == std::vector<std::string>{"ant", "bee"});
  CHECK(data->info().sample == Shape({8, 8, 3}));
  for (const auto& [index, expected] : {std::pair(0, 0), {1, 1}, {2, 0}, {3, 1}, {4, 1}, {5, 1}})
    CHECK(label(*data, index) == expected);
  // bee: 0.png, 1.png, y.jpg, z.JPEG: all of one colour.
  const std::vector<float> jpeg = sample(*data, 4);
  for (size_t i = 3; i < jpeg.size(); ++i) CHECK(jpeg[i] == doctest::Approx(jpeg[i % 3]).epsilon(0.1));
  CHECK(open(scratch.path(), R"(, "limit": 3)")->size() == 3);
  CHECK(open(scratch.path(), "", "test")->size() == 2);
}

TEST_CASE("image_folder: evaluation's crop, kept in memory or not, is the same; so is any thread's batch") {
  const ScratchFolder scratch;
  lay_out_pictures(scratch.path(), 40, 3, "val");
  const std::string augment =
      R"(, "crop_pct": 0.8, "augment": [{"type": "random_resized_crop"}, {"type": "rand_augment"}])";
  const auto kept = open(scratch.path(), augment),
             decoded = open(scratch.path(), augment + R"(, "cache_mib": 0)");
  CHECK(kept->describe().find("in_memory")->as_bool());
  CHECK_FALSE(decoded->describe().find("in_memory")->as_bool());
  for (const int64_t i : {0, 3, 3}) CHECK(sample(*kept, i, 2) == sample(*decoded, i, 2));
  CHECK(sample(*kept, 0, 0) != sample(*kept, 0, 1));
  const auto test = open(scratch.path(), augment, "test");
  const EvaluationInput input =
      *evaluation_input(split_registry().resolve(section(scratch.path(), augment), kWhere));
  CHECK(input.sample == Shape({8, 8, 3}));
  const Picture picture = read_picture(scratch / "val/bee/0.png", 3);
  std::vector<uint8_t> pixels(8 * 8 * 3);
  input.crop({picture.pixels.data(), 12, 10, 3}, {pixels.data(), 8, 8, 3});
  const std::vector<float> x = sample(*test, 1);
  for (size_t i = 0; i < x.size(); i += 3)
    CHECK(x[i] == doctest::Approx((pixels[i] / 255.0 - 0.485) / 0.229).epsilon(1e-5));
}

TEST_CASE("image_folder: the hash is of names and bytes in use") {
  const ScratchFolder scratch;
  lay_out_pictures(scratch.path(), 3, 1);
  const std::string hash = open(scratch.path())->info().content_hash;
  CHECK(open(scratch.path(), R"(, "crop_pct": 0.5)")->info().content_hash == hash);
  CHECK(open(scratch.path(), R"(, "limit": 5)")->info().content_hash != hash);
  fs::rename(scratch / "train/ant/2.png", scratch / "train/ant/3.png");
  const std::string renamed = open(scratch.path())->info().content_hash;
  CHECK(renamed != hash);
  write_png(scratch / "train/ant/3.png", some_picture(12, 10, 3, 99));
  CHECK(open(scratch.path())->info().content_hash != renamed);
}

TEST_CASE("image_folder: damaged pictures are refused by name, or left out alike for any number of threads") {
  const ScratchFolder scratch;
  lay_out_pictures(scratch.path(), 5, 2);
  cut_short(scratch / "train/ant/1.png");
  write_atomic(scratch / "train/bee/3.png", std::string_view("no picture"));
  CHECK_THROWS_AS(open(scratch.path()), DataError);
  const int threads = num_threads();
  std::string hash;
  for (const int n : {1, 3}) {
    set_num_threads(n);
    const auto data = open(scratch.path(), R"(, "corrupt": "skip")");
    CHECK(data->size() == 8);
    REQUIRE(data->left_out().size() == 2);
    CHECK(data->left_out()[0].find("train/ant/1.png") != std::string::npos);
    CHECK(data->left_out()[1].find("train/bee/3.png: expected a PNG or JPEG picture") != std::string::npos);
    if (!hash.empty()) CHECK(data->info().content_hash == hash);
    hash = data->info().content_hash;
    CHECK(data->describe().find("skipped")->items().size() == 2);
  }
  set_num_threads(threads);
  const DataReport strict = check_data(section(scratch.path()), kWhere);
  CHECK(strict.errors.size() == 2);
  const DataReport lenient = check_data(section(scratch.path(), R"(, "corrupt": "skip")"), kWhere);
  CHECK(lenient.errors.empty());
  CHECK(lenient.warnings.size() == 2);
}

TEST_CASE("image_folder: a picture that is a link to nothing is damaged, not absent") {
  const ScratchFolder scratch;
  lay_out_pictures(scratch.path(), 3, 1);
  for (const char* name : {"train/ant/x.png", "train/bee/y.jpg"}) fs::create_symlink("gone", scratch / name);
  fs::create_symlink("z.png", scratch / "train/bee/z.png");  // to itself
  fs::create_symlink("0.png", scratch / "train/bee/again.png");
  fs::create_symlink("gone", scratch / "train/bee/notes.txt");
  CHECK_THROWS_AS(open(scratch.path()), IoError);
  const auto data = open(scratch.path(), R"(, "corrupt": "skip")");
  CHECK(data->size() == 7);
  REQUIRE(data->left_out().size() == 3);
  CHECK(data->left_out()[0].find("train/ant/x.png") != std::string::npos);
  CHECK(data->left_out()[2].find("train/bee/z.png") != std::string::npos);
  CHECK(check_data(section(scratch.path()), kWhere).errors.size() == 3);
}

TEST_CASE("a cut, flipped or foreign picture is not taken for a whole one") {
  const ScratchFolder scratch;
  write_png(scratch / "x.png", some_picture(5, 6, 3));
  const std::vector<std::byte> png = read_bytes(scratch / "x.png"), jpeg = small_jpeg();
  const PictureSize size = check_picture(png, "x.png");
  CHECK(size.height == 5);
  CHECK(size.width == 6);
  CHECK(check_picture(jpeg, "x.jpg").width == 4);
  for (const auto* whole : {&png, &jpeg}) {
    for (size_t n = 0; n < whole->size(); ++n)
      CHECK_THROWS_AS(check_picture(std::span(*whole).first(n), "x"), DataError);
    std::vector<std::byte> longer = *whole;
    longer.insert(longer.end(), 10, std::byte{0});
    CHECK_NOTHROW(check_picture(longer, "x"));
  }
  for (size_t i = 0; i < png.size(); ++i) {  // every byte of a PNG is covered
    std::vector<std::byte> flipped = png;
    flipped[i] ^= std::byte{4};
    CHECK_THROWS_AS(check_picture(flipped, "x.png"), DataError);
  }
}

TEST_SUITE_END();

}  // namespace lathe::tests
