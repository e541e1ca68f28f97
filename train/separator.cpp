#include "train/separator.h"

#include <algorithm>

#include "core/error.h"
#include "data/sound_set.h"
#include "models/registry.h"
#include "train/separate.h"
#include "train/sound_stream.h"

namespace lathe {
namespace {

std::vector<std::string> source_names(const Value& input, int64_t count) {
  std::vector<std::string> names;
  const Value* list = input.is(Value::Type::Object) ? input.find("class_names") : nullptr;
  if (list != nullptr && list->is(Value::Type::Array)) {
    for (const Value& name : list->items()) {
      const bool usable = name.is(Value::Type::String) && !name.as_string().empty() &&
                          name.as_string().find_first_of("/\\") == std::string::npos;
      if (usable) names.push_back(name.as_string());
    }
  }
  if (static_cast<int64_t>(names.size()) == count) return names;
  names.clear();
  for (int64_t i = 0; i < count; ++i) names.push_back(concat("source-", i));
  return names;
}

/// What the whole song is normalised by: its mean and deviation.
SoundStatistics statistics_of(SoundStream& song, int64_t channels) {
  constexpr int64_t kBlock = 1 << 14;
  SoundStatistics statistics(channels);
  for (int64_t from = 0; from < song.length(); from += kBlock) {
    Tensor block = Tensor::empty({std::min(kBlock, song.length() - from), channels});
    song.read(from, block);
    statistics.add(block.ptr<float>(), block.dim(0));
  }
  return statistics;
}

/// One file a source, written part by part.
class Stems {
 public:
  Stems(const std::vector<std::filesystem::path>& files, const SoundFormat& format, SampleFormat samples)
      : channels_(format.channels) {
    for (const auto& file : files) writers_.push_back(std::make_unique<SoundWriter>(file, format, samples));
  }

  /// part (count, sources, channels) as separated, the normalisation undone.
  void write(const Tensor& part, float mean, float scale) {
    const int64_t count = part.dim(0), row = part.dim(1) * channels_;
    std::vector<float> samples(static_cast<size_t>(count * channels_));
    for (size_t s = 0; s < writers_.size(); ++s) {
      const float* from = part.ptr<float>() + static_cast<int64_t>(s) * channels_;
      for (int64_t t = 0; t < count; ++t) {
        for (int64_t c = 0; c < channels_; ++c)
          samples[static_cast<size_t>(t * channels_ + c)] = from[t * row + c] * scale + mean;
      }
      writers_[s]->write(samples.data(), count);
    }
  }

  void close() {
    for (const auto& writer : writers_) writer->close();
  }

 private:
  int64_t channels_;
  std::vector<std::unique_ptr<SoundWriter>> writers_;
};

}  // namespace

bool separates_sound(const SavedRun& run) {
  const auto model = model_registry().build(run.model, run.where / "model", {.device = Device::meta()});
  return dynamic_cast<SeparationModel*>(model.get()) != nullptr;
}

Separator::Separator(const std::filesystem::path& path, Device device)
    : run_(open_run(path)), model_(load_run_model(run_, device)) {
  separates_ = dynamic_cast<SeparationModel*>(model_.get());
  LATHE_CHECK(ConfigError, separates_ != nullptr, path.string(), ": its model separates no sound");
  const Value data =
      run_.data.is(Value::Type::Null) ? Value() : data_registry().resolve(run_.data, run_.where / "data");
  const Value* rate = data.is(Value::Type::Object) ? data.find("sample_rate") : nullptr;
  LATHE_CHECK(ConfigError, rate != nullptr, path.string(),
              ": nothing says its sample rate; import weights with --data");
  rate_ = rate->as_int();
  names_ = source_names(run_.input, separates_->sources());
  model_->run().mode = Mode::Eval;
  ++model_->run().forward;  // one forward for all songs: weights are decoded once
}

std::vector<std::filesystem::path> Separator::separate(const std::filesystem::path& song,
                                                       const std::filesystem::path& folder,
                                                       const SeparatorOptions& options) {
  LATHE_CHECK(ConfigError, options.segment_seconds > 0, "separate: segments of ", options.segment_seconds,
              " seconds");
  SoundStream stream(song, rate_, separates_->channels());
  std::vector<std::filesystem::path> files;
  for (const std::string& name : names_) {
    files.push_back(folder / (name + ".wav"));
    LATHE_CHECK(IoError, options.overwrite || !std::filesystem::exists(files.back()), files.back().string(),
                ": is there already; choose another folder, or say --overwrite");
  }
  std::filesystem::create_directories(folder);
  const SoundStatistics statistics = statistics_of(stream, separates_->channels());
  const float mean = static_cast<float>(statistics.mean()), scale = static_cast<float>(statistics.std());
  const MixtureReader mixture{.length = stream.length(), .read = [&](int64_t from, Tensor& samples) {
                                stream.read(from, samples);
                                const int64_t inside_lo = std::clamp<int64_t>(-from, 0, samples.dim(0)),
                                              inside_hi = std::clamp<int64_t>(stream.length() - from,
                                                                              inside_lo, samples.dim(0));
                                float* x = samples.mut<float>();
                                const int64_t c = samples.dim(1);
                                for (int64_t i = inside_lo * c; i < inside_hi * c; ++i)
                                  x[i] = (x[i] - mean) / scale;
                              }};
  Stems stems(files, {.samples = stream.length(), .channels = separates_->channels(), .rate = rate_},
              options.samples);
  const SeparateOptions how{.segment = std::max<int64_t>(1, static_cast<int64_t>(options.segment_seconds *
                                                                                 static_cast<double>(rate_))),
                            .overlap = options.overlap,
                            .shifts = options.shifts,
                            .max_shift = rate_ / 2};
  const MathModeScope math(run_.math);
  separate_parts(*separates_, mixture, how, [&](int64_t from, const Tensor& part) {
    stems.write(part, mean, scale);
    if (options.progress)
      options.progress(static_cast<double>(from + part.dim(0)) / static_cast<double>(stream.length()));
  });
  stems.close();
  return files;
}

}  // namespace lathe
