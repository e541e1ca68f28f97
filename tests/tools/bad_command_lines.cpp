// The command line itself.

#include "tests/tools/bad_inputs.h"

namespace lathe::tests {
namespace {

BadInput usage(std::string name, std::vector<std::string> arguments, std::vector<std::string> says,
               int code = 2) {
  return {std::move(name), experiment(), std::move(arguments), code, std::move(says)};
}

/// Seeds, devices and changes.
std::vector<BadInput> common_options() {
  return {
      usage("seed that is no number", {"train", "exp.json", "--seed", "one"}, {"--seed", "one"}),
      usage("seed below 0", {"train", "exp.json", "--seed", "-1"}, {"--seed", "-1"}),
      usage("seed beyond 63 bits", {"train", "exp.json", "--seed", "18446744073709551615"},
            {"--seed", "18446744073709551615", "0 to 9223372036854775807"}),
      usage("seed where nothing is drawn", {"info", "run", "--seed", "1"},
            {"no option '--seed'", "lathe info --help"}),
      usage("device where nothing is computed", {"list", "models", "--device", "cpu"},
            {"no option '--device'", "lathe list --help"}),
      usage("device of a host's benchmark", {"bench", "gemm", "--device", "cpu"},
            {"bench gemm takes no --device", "gpu does"}),
      {"change of what evaluation does not read",
       trained(),
       {"eval", "run", "--set", "seed=3"},
       2,
       {"--set seed=3", "only \"data\" is read", "data.KEY=VALUE"}},
      usage("change of what a data set does not read", {"data", "describe", "glyphs", "--set", "seed=3"},
            {"--set seed=3", "only \"data\" is read"}),
      usage("unknown option of a data set", {"data", "describe", "glyphs", "--set", "data.sead=3"},
            {"data: unknown key 'sead'", "'seed'"}),
      usage("device that is not there", {"train", "exp.json", "--device", "cuda"},
            {"device cuda:0", "no CUDA", "--device cpu"}, 9),
      usage("no device to benchmark", {"bench", "gpu"}, {"device cuda:0", "no CUDA", "--device cpu"}, 9),
      usage("the host as a device to benchmark", {"bench", "gpu", "--device", "cpu"}, {"no CUDA device"}, 9),
      usage("device of another world", {"train", "exp.json", "--device", "nonsense"},
            {"expected auto, cpu or cuda:N", "found 'nonsense'"}),
      usage("device without memory", {"train", "exp.json", "--device", "meta"},
            {"expected auto, cpu or cuda:N", "found 'meta'"}),
      usage("device that is not there, in eval", {"eval", "run", "--device", "cuda:3"},
            {"device cuda:3", "--device cpu"}, 9),
  };
}

}  // namespace

std::vector<BadInput> bad_command_lines() {
  std::vector<BadInput> rows = {
      usage("no command", {}, {"expected a command: train, eval", "lathe --help"}),
      usage("unknown command", {"trian", "exp.json"},
            {"no command 'lathe trian'", "'train'", "lathe --help"}),
      usage("command near nothing", {"frobnicate"}, {"no command 'lathe frobnicate'", "lathe --help"}),
      usage("unknown command of data", {"data", "chekc"},
            {"no command 'lathe data chekc'", "'check'", "lathe data --help"}),
      usage("no command of data", {"data"},
            {"lathe data: expected a command: describe, check, generate", "lathe data --help"}),
      usage("unknown option", {"train", "exp.json", "--resum"},
            {"no option '--resum'", "'--resume'", "lathe train --help"}),
      usage("option near nothing", {"train", "exp.json", "--frobnicate"},
            {"no option '--frobnicate'", "lathe train --help"}),
      usage("option of nobody before the command", {"--frobnicate"}, {"--frobnicate", "lathe --help"}),
      usage("argument too many", {"train", "exp.json", "again"},
            {"one argument too many: 'again'", "lathe train --help"}),
      usage("missing argument", {"train"}, {"EXP is required", "lathe train --help"}),
      usage("missing value of an option", {"train", "exp.json", "--out"}, {"--out", "missing"}),
      usage("missing required option", {"export", "run"}, {"--out is required", "lathe export --help"}),
      usage("no threads", {"train", "exp.json", "--threads", "0"}, {"--threads", "0", "1 to 1024"}),
      usage("threads that are no number", {"train", "exp.json", "--threads", "two"}, {"--threads", "two"}),
      usage("unknown list", {"list", "model"}, {"no list of 'model'", "'models'"}),
      usage("unknown benchmark", {"bench", "nothing"}, {"nothing", "gemm"}),
      usage("gradcheck of nothing", {"gradcheck", "no-such-case"},
            {"no case's name contains 'no-such-case'"}),
      usage("info of nothing", {"info"}, {"expected a run's folder or --model NAME"}),
      usage("info of an unknown model", {"info", "--model", "resnet2"}, {"no model 'resnet2'", "'resnet20'"}),
      usage("unknown split", {"eval", "run", "--split", "tset"}, {"--split", "tset", "train,test"}),
      usage("unknown export format", {"export", "run", "--format", "onnx", "-o", "x"},
            {"--format", "onnx", "safetensors"}),
      usage("import of an unknown model", {"import", "exp.json", "--model", "mpl", "-o", "new"},
            {"no model 'mpl'", "'mlp'"}),
      usage("packed file that is not there", {"eval", "x.lathe"},
            {"x.lathe: ", "there is no such run folder or packed file"}, 5),
  };
  for (BadInput& row : common_options()) rows.push_back(std::move(row));
  return rows;
}

}  // namespace lathe::tests
