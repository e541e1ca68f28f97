// Training, packing and verifying through the executable, for every quantizer.

#include <doctest/doctest.h>

#include "core/files.h"
#include "core/json.h"
#include "quant/quantizer.h"
#include "tests/support/scratch.h"
#include "tests/tools/bad_inputs.h"
#include "tests/tools/cli.h"

namespace lathe::tests {

namespace fs = std::filesystem;

namespace {

struct Command {
  const ScratchFolder& scratch;
  Finished operator()(std::vector<std::string> arguments) const {
    return run_lathe({.arguments = std::move(arguments), .folder = scratch.path()});
  }
  // Of a command that must succeed.
  std::string out(std::vector<std::string> arguments) const {
    const Finished finished = (*this)(std::move(arguments));
    CAPTURE(finished.err);
    REQUIRE(finished.code == 0);
    return finished.out;
  }
};

std::string hash_of_eval(const Command& lathe, const std::string& what) {
  return parse_json(lathe.out({"eval", what, "--json"}), "eval").find("logits_hash")->as_string();
}

}  // namespace

TEST_SUITE_BEGIN("packed runs");

TEST_CASE("what every method trains is what its packed file evaluates to, for any number of threads") {
  for (const auto& method : quantizer_registry().entries()) {
    CAPTURE(method.name);
    const ScratchFolder scratch;
    experiment(R"("train": {)",
               R"("quant": {"rules": [{"type": ")" + method.name + R"("}]}, "train": {)")(scratch.path());
    const Command lathe{scratch};
    lathe.out({"train", "exp.json", "--out", "run", "--quiet"});
    for (const char* threads : {"1", "2", "3"})
      CHECK(lathe.out({"verify", "run", "--threads", threads}).starts_with("identical: "));
    CHECK(hash_of_eval(lathe, "run") == hash_of_eval(lathe, "run/model.lathe"));
    const Value summary = parse_json(read_text(scratch / "run/summary.json"), "summary");
    CHECK(summary.find("size_bytes")->as_int() ==
          static_cast<int64_t>(fs::file_size(scratch / "run/model.lathe")));
    CHECK(summary.find("avg_bits")->as_real() >= 1);
    lathe.out({"pack", "run", "-o", "again.lathe"});
    CHECK(read_bytes(scratch / "again.lathe") == read_bytes(scratch / "run/model.lathe"));

    // Decoded weights, imported again, are what was evaluated.
    lathe.out({"unpack", "again.lathe", "-o", "w.safetensors"});
    for (const char* from : {"run", "run/model.lathe"}) {
      const Finished refused = lathe({"export", from, "-o", "x.safetensors"});
      CHECK(refused.code == 7);
      CHECK(refused.err.find(std::string(from) + ": its weights are quantized") != std::string::npos);
      CHECK(refused.err.find("`lathe unpack`") != std::string::npos);
    }
    CHECK_FALSE(fs::exists(scratch / "x.safetensors"));
  }
}

TEST_CASE("what nothing quantizes exports the same from the run and from its packed file") {
  const ScratchFolder scratch;
  const Command lathe{scratch};
  trained()(scratch.path());
  lathe.out({"export", "run", "-o", "a"});
  lathe.out({"export", "run/model.lathe", "-o", "b"});
  lathe.out({"unpack", "run/model.lathe", "-o", "c"});
  CHECK(read_bytes(scratch / "a") == read_bytes(scratch / "b"));
  CHECK(read_bytes(scratch / "a") == read_bytes(scratch / "c"));
}

TEST_CASE("quantizers with state of their own: averages, resuming and verifying leave it alone") {
  const ScratchFolder scratch;
  const Command lathe{scratch};
  experiment(R"("train": {)", R"("quant": {"rules": [
      {"match": "*0.weight", "type": "quant_noise", "update_step": 3, "bits": 4},
      {"type": "lsq", "bits": 3, "oscillation_momentum": 0.5, "freeze_threshold": 0.2, "freeze_begin": 0}]},
      "train": {"ema": 0.9, )")(scratch.path());
  lathe.out({"train", "exp.json", "--out", "run", "--quiet"});
  CHECK(lathe.out({"verify", "run"}).starts_with("identical: "));
  CHECK(hash_of_eval(lathe, "run") == hash_of_eval(lathe, "run/model.lathe"));
  CHECK(lathe.out({"prove-resume", "exp.json", "--out", "proof", "--stops", "3"}).find("identical") !=
        std::string::npos);
}

TEST_CASE("verify finds one changed weight") {
  const ScratchFolder scratch;
  const Command lathe{scratch};
  experiment(R"("train": {)", R"("quant": {"rules": [{"type": "lsq"}]}, "train": {)")(scratch.path());
  lathe.out({"train", "exp.json", "--out", "run", "--quiet"});
  lathe.out({"train", "exp.json", "--out", "other", "--quiet", "--set", "train.epochs=2"});
  const Finished finished = lathe({"verify", "run", "--against", "other/model.lathe"});
  CHECK(finished.code == 7);
  CHECK(finished.err.find("tensors differ from the run's, the first is ") != std::string::npos);
}

TEST_CASE("fine-tuning starts from another run's weights, whatever either quantizes") {
  const ScratchFolder scratch;
  const Command lathe{scratch};
  experiment()(scratch.path());
  lathe.out({"train", "exp.json", "--out", "float", "--quiet"});
  experiment(R"("train": {)", R"("quant": {"rules": [{"type": "lsq"}]}, "train": {)")(scratch.path());
  lathe.out({"train", "exp.json", "--out", "lsq", "--quiet", "--init", "float"});
  experiment(R"("train": {)", R"("quant": {"rules": [{"type": "codeq"}]}, "train": {)")(scratch.path());
  lathe.out({"train", "exp.json", "--out", "codeq", "--quiet", "--init", "lsq"});
  CHECK(lathe.out({"verify", "codeq"}).starts_with("identical: "));
}

TEST_SUITE_END();

}  // namespace lathe::tests
