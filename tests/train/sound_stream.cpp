// Sound files at another rate.

#include "train/sound_stream.h"

#include <cmath>

#include <doctest/doctest.h>

#include "tests/support/scratch.h"

using namespace lathe;

TEST_SUITE_BEGIN("sound");

TEST_CASE("a stream converts rate and channels, whatever part is asked for") {
  const tests::ScratchFolder folder;
  std::vector<float> tone(4800);
  for (size_t i = 0; i < tone.size(); ++i)
    tone[i] = static_cast<float>(std::sin(2 * 3.14159265358979 * 50 * static_cast<double>(i) / 4800));
  SoundWriter writer(folder / "tone.wav", {.channels = 1, .rate = 4800}, SampleFormat::Float32);
  writer.write(tone.data(), 4800);
  writer.close();
  SoundStream stream(folder / "tone.wav", 3000, 2);
  CHECK(stream.length() == 3000);
  Tensor whole = Tensor::empty({3000, 2});
  stream.read(0, whole);
  for (int64_t t = 300; t < 2700; ++t) {
    const double expected = std::sin(2 * 3.14159265358979 * 50 * static_cast<double>(t) / 3000);
    CHECK(whole.ptr<float>()[2 * t] == doctest::Approx(expected).epsilon(1e-3));
    CHECK(whole.ptr<float>()[2 * t + 1] == whole.ptr<float>()[2 * t]);
  }
  for (const int64_t from : {-7, 0, 1, 1234, 2990}) {
    Tensor part = Tensor::empty({37, 2});
    stream.read(from, part);
    for (int64_t t = 0; t < 37; ++t) {
      if (from + t >= 0 && from + t < 3000)
        CHECK(part.ptr<float>()[2 * t] == doctest::Approx(whole.ptr<float>()[2 * (from + t)]).epsilon(1e-5));
    }
  }
}

TEST_SUITE_END();
