// Sweep files, pictures, and post-training quantizers.

#include "core/files.h"
#include "tests/tools/bad_inputs.h"

namespace lathe::tests {
namespace {

BadInput sweep(std::string name, const std::string& rest, std::vector<std::string> says, int code = 2) {
  return {std::move(name),
          all({experiment(),
               file("sweep.json",
                    "{\"schema\": 1, \"name\": \"s\",\n \"experiment\": \"exp.json\"" + rest + "}")}),
          {"sweep", "sweep.json", "--out", "s"},
          code,
          std::move(says)};
}

BadInput listed(std::string name, const std::string& rest, std::vector<std::string> says) {
  BadInput row = sweep(std::move(name), rest, std::move(says));
  row.arguments.emplace_back("--dry-run");
  return row;
}

BadInput picture(std::string name, Prepare prepare, std::vector<std::string> says, int code) {
  return {std::move(name),
          all({trained(), std::move(prepare)}),
          {"run", "run/model.lathe", "x.png"},
          code,
          std::move(says)};
}

BadInput packed_with(std::string name, std::string quant, std::vector<std::string> says) {
  return {std::move(name),
          all({trained(), file("q.json", std::move(quant))}),
          {"pack", "run", "-o", "x.lathe", "--quant", "q.json"},
          2,
          std::move(says)};
}

}  // namespace

std::vector<BadInput> bad_sweeps() {
  return {
      {"sweep that is not there", nothing(), {"sweep", "sweep.json"}, 5, {"sweep.json"}},
      sweep("sweep with an unknown key", ", \"gird\": {}", {"sweep.json:2: ", "'gird'", "'grid'"}),
      sweep("sweep whose experiment is not there",
            ", \"points\": [{\"name\": \"a\", \"experiment\": \"x.json\"}]", {"point a: ", "x.json"}, 5),
      sweep("sweep with two points of a name", ", \"points\": [{\"name\": \"a\"},\n{\"name\": \"a\"}]",
            {"sweep.json:3: points[1]: ", "two points 'a'"}),
      sweep("sweep with a name for no folder", ", \"points\": [{\"name\": \"a/b\"}]",
            {"points[0].name", "found 'a/b'"}),
      sweep("sweep from a point that is not there",
            ", \"points\": [{\"name\": \"base\"},\n{\"name\": \"b\", \"from\": \"bsae\", \"quant\": {}}]",
            {"sweep.json:3: points[1].from", "no trained point 'bsae'", "'base'"}),
      sweep("sweep that quantizes a point with changes",
            ", \"points\": [{\"name\": \"a\"}, {\"name\": \"b\", \"from\": \"a\", \"set\": {\"seed\": 1}}]",
            {"points[1]", "expected `quant` alone"}),
      sweep("sweep with quantizers at a trained point", ", \"points\": [{\"name\": \"a\", \"quant\": {}}]",
            {"points[0].quant", "expected `from`"}),
      sweep("sweep over no values", ", \"grid\": {\"seed\": []}", {"grid.seed", "expected a list of values"}),
      sweep("sweep that sets an unknown key", ", \"set\": {\"optimizer.lrr\": 1}",
            {"point s: ", "optimizer", "'lrr'", "'lr'"}),
      listed("list of a sweep with a wrong point",
             ", \"points\": [{\"name\": \"a\"}, {\"name\": \"b\", \"set\": {\"train.epochs\": 0}}]",
             {"point b: ", "train.epochs: ", "at least 1", "found 0"}),
      listed("list of a sweep with wrong quantizers",
             ", \"points\": [{\"name\": \"a\"}, {\"name\": \"b\", \"from\": \"a\", \"quant\": {\"rules\": "
             "[{\"type\": \"lsk\"}]}}]",
             {"point b: ", "sweep.json:2: ", "points[1].quant", "'lsk'", "'lsq'"}),
      picture("picture that is not there", nothing(), {"x.png"}, 5),
      picture("picture that is none", file("x.png", "hello"), {"x.png: ", "expected a PNG or JPEG picture"},
              3),
      picture("picture that is cut short", file("x.png", std::string("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16)),
              {"x.png: ", "expected a PNG or JPEG picture"}, 3),
      packed_with("post-training quantizers of no method", R"({"rules": [{"type": "lsk"}]})",
                  {"q.json:1: rules[0]", "'lsk'", "'lsq'"}),
      packed_with("post-training quantizers that match nothing",
                  "{\"rules\": [\n{\"type\": \"lsq\", \"match\": \"x*\"}]}",
                  {"q.json:2: rules[0]", "no parameter"}),
      packed_with("post-training quantizers without rules", R"({"forward": true})", {"q.json", "rules"}),
  };
}

}  // namespace lathe::tests
