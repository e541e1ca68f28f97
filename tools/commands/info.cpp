#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/error.h"
#include "models/registry.h"
#include "quant/activation.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/plan.h"
#include "train/packing.h"
#include "train/saved_run.h"
#include "train/stored_cost.h"

namespace lathe::cli {
namespace {

struct InfoArguments {
  std::string run;
  std::string model;
  bool explain_size = false;
};

/// A run's model as it is or would be stored.
struct Stored {
  ModelInfo info;
  StoredCost cost;
  PackedLayout layout;
};

ModelInfo info_of(const SavedRun& run) {
  const FieldPath where = run.where / "model";
  if (!run.input.is(Value::Type::Null))
    return describe_model(run.model, where, input_shape(run.input, where.file));
  if (run.data.is(Value::Type::Null))
    return describe_model(run.model, where, model_input_shape(run.model.find("type")->as_string()));
  const auto split = evaluation_split(run.data, run.where / "data", "test", static_cast<uint64_t>(run.seed));
  return describe_model(run.model, where, split->info().sample);
}

Stored stored(const SavedRun& run) {
  const std::unique_ptr<Model> model = load_run_model(run);
  const bool folder = run.packed.empty();
  const PackedModel packed = folder ? pack_model(to_value(header_of(run)), *model) : read_packed(run.packed);
  const ModelInfo info = info_of(run);
  return {.info = info,
          .cost = stored_cost(packed, info, activation_bits(*model)),
          .layout =
              folder ? layout_packed(packed_bytes(packed), run.folder.string()) : layout_packed(run.packed)};
}

std::string width(const StoredTensorCost& cost) {
  return fmt::format("{:.2f}", cost.bits);
}

std::string percent(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

void print_stored(const Stored& model) {
  const size_t sparse = static_cast<size_t>(
      std::find(kBopsConventions.begin(), kBopsConventions.end(), Bops::Sparse) - kBopsConventions.begin());
  std::vector<std::vector<std::string>> rows = {
      {"tensor", "codec", "elements", "bits", "zeros", "bytes in the file"}};
  for (const PackedTensorLayout& tensor : model.layout.tensors) {
    const StoredTensorCost& cost = model.cost.tensors.at(tensor.name);
    rows.push_back({tensor.name, tensor.codec, grouped(tensor.elements), width(cost),
                    cost.quantized ? percent(cost.sparsity()) : "", grouped(tensor.bytes())});
  }
  print_table(rows);
  rows = {{"layer", "type", "output", "MACs", "weight bits", "input bits", "zeros", "BOPs (sparse)"}};
  for (const StoredLayerCost& row : model.cost.layers) {
    rows.push_back({row.layer.name, row.layer.type, to_string(row.layer.output), grouped(row.layer.macs),
                    width(row.weight), fmt::format("{:.0f}", row.activation_bits),
                    percent(row.weight.sparsity()), fmt::format("{:.4g}", row.bops[sparse])});
  }
  fmt::print("\n");
  print_table(rows);
  fmt::print("\n{} parameters, {} as float32, {} bytes packed; {} MACs per sample\n",
             grouped(model.info.parameter_count), human_bytes(static_cast<double>(model.info.float_bytes)),
             grouped(model.layout.bytes()), grouped(model.cost.macs));
  if (model.cost.quantized_elements > 0)
    fmt::print("{:.3f} bits and {} zeros over {} quantized elements\n", model.cost.avg_bits,
               percent(model.cost.sparsity), grouped(model.cost.quantized_elements));
  fmt::print("relative BOPs, all layers:");
  for (size_t i = 0; i < kBopsConventions.size(); ++i)
    fmt::print(" {} {:.2f} %{}", to_string(kBopsConventions[i]), 100 * model.cost.relative_bops[i],
               i + 1 < kBopsConventions.size() ? "," : "\n");
}

/// Where each byte of the file is; the last row is the file's size.
void print_size(const PackedLayout& layout) {
  std::vector<std::vector<std::string>> rows = {{"part", "codec", "record", "scales", "offsets", "widths",
                                                 "table", "payload", "entropy bound", "bytes"}};
  const auto whole = [&](const char* name, int64_t bytes) {
    rows.push_back({name, "", "", "", "", "", "", "", "", grouped(bytes)});
  };
  whole("header and checksums", layout.fixed);
  whole("names of features", layout.features);
  whole("model, data, loss (JSON)", layout.json);
  PackedTensorLayout sum;
  for (const PackedTensorLayout& t : layout.tensors) {
    rows.push_back({t.name, t.codec, grouped(t.record), grouped(t.scales), grouped(t.offsets),
                    grouped(t.widths), grouped(t.table), grouped(t.payload), fmt::format("{:.1f}", t.entropy),
                    grouped(t.bytes())});
    sum.record += t.record;
    sum.scales += t.scales;
    sum.offsets += t.offsets;
    sum.widths += t.widths;
    sum.table += t.table;
    sum.payload += t.payload;
    sum.entropy += t.entropy;
  }
  rows.push_back({"tensors together", "", grouped(sum.record), grouped(sum.scales), grouped(sum.offsets),
                  grouped(sum.widths), grouped(sum.table), grouped(sum.payload),
                  fmt::format("{:.1f}", sum.entropy), grouped(sum.bytes())});
  whole("file", layout.bytes());
  fmt::print("\n");
  print_table(rows);
}

Value layout_value(const PackedLayout& layout) {
  Value tensors = Value::array();
  for (const PackedTensorLayout& t : layout.tensors) {
    tensors.push_back(Value::object({{"name", Value::string(t.name)},
                                     {"codec", Value::string(t.codec)},
                                     {"elements", Value::integer(t.elements)},
                                     {"record", Value::integer(t.record)},
                                     {"scales", Value::integer(t.scales)},
                                     {"offsets", Value::integer(t.offsets)},
                                     {"widths", Value::integer(t.widths)},
                                     {"table", Value::integer(t.table)},
                                     {"payload", Value::integer(t.payload)},
                                     {"entropy", Value::real(t.entropy)},
                                     {"bytes", Value::integer(t.bytes())}}));
  }
  return Value::object({{"fixed", Value::integer(layout.fixed)},
                        {"features", Value::integer(layout.features)},
                        {"json", Value::integer(layout.json)},
                        {"tensors", std::move(tensors)},
                        {"bytes", Value::integer(layout.bytes())}});
}

Value cost_value(const StoredCost& cost) {
  Value layers = Value::array();
  for (const StoredLayerCost& row : cost.layers) {
    layers.push_back(Value::object({{"name", Value::string(row.layer.name)},
                                    {"macs", Value::integer(row.layer.macs)},
                                    {"weight_bits", Value::real(row.weight.bits)},
                                    {"activation_bits", Value::real(row.activation_bits)},
                                    {"sparsity", Value::real(row.weight.sparsity())},
                                    {"bops", by_convention(row.bops)}}));
  }
  return Value::object({{"avg_bits", Value::real(cost.avg_bits)},
                        {"sparsity", Value::real(cost.sparsity)},
                        {"quantized_elements", Value::integer(cost.quantized_elements)},
                        {"bops", by_convention(cost.bops)},
                        {"relative_bops", by_convention(cost.relative_bops)},
                        {"layers", std::move(layers)}});
}

int info_of_model(const Session& session, const std::string& name) {
  const Value section = Value::object({{"type", Value::string(name)}});
  const ModelInfo model = describe_model(section, {"", "model"}, model_input_shape(name));
  if (session.json) {
    print_json(to_value(model));
  } else {
    print_model(model);
  }
  return kOk;
}

int info(const Session& session, const InfoArguments& arguments) {
  if (!arguments.model.empty()) {
    LATHE_CHECK(ConfigError, arguments.run.empty() && !arguments.explain_size,
                "info: --model NAME has no file to explain; expected it alone");
    return info_of_model(session, arguments.model);
  }
  LATHE_CHECK(ConfigError, !arguments.run.empty(), "info: expected a run's folder or --model NAME");
  const Stored model = stored(open_run(arguments.run));
  if (session.json) {
    Value out = to_value(model.info);
    out.set("stored", cost_value(model.cost));
    out.set("size", layout_value(model.layout));
    print_json(out);
    return kOk;
  }
  print_stored(model);
  if (arguments.explain_size) print_size(model.layout);
  return kOk;
}

}  // namespace

void add_info(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand(
      "info", "Parameters, bits, zeros, multiply-accumulates and bytes, tensor by tensor and layer by layer");
  command->footer(
      "Of a run's folder: as `lathe pack` would store it.\n"
      "Examples:\n  lathe info runs/glyphs\n  lathe info runs/glyphs/model.lathe --explain-size\n"
      "  lathe info --model resnet20 --json");
  auto arguments = std::make_shared<InfoArguments>();
  command->add_option("RUN", arguments->run, "Folder of a run, or a packed file");
  command->add_option("--model", arguments->model, "A model by name, with its default options");
  command->add_flag("--explain-size", arguments->explain_size, "Where every byte of the file is");
  add_common_options(*command, session);
  command->callback([&session, arguments] {
    session.command = [&session, arguments] { return info(session, *arguments); };
  });
}

}  // namespace lathe::cli
