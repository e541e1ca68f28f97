#include "models/registry.h"

#include <algorithm>

#include "models/demucs.h"
#include "models/efficientnet.h"
#include "models/gpt.h"
#include "models/lenet.h"
#include "models/mlp.h"
#include "models/mobilenetv1.h"
#include "models/mobilenetv1_cifar.h"
#include "models/resnet.h"
#include "models/resnet18_cifar.h"
#include "models/resnet20.h"
#include "models/tiny_vit.h"
#include "models/transformer_lm.h"
#include "models/vit.h"
#include "models/vit_cifar.h"
#include "models/wrn28_10.h"

namespace lathe {
namespace {

struct Row {
  ModelRegistry::Entry entry;
  Shape input;  // (H, W, C), (T) or (T, C)
};

template <class M, class Options>
Row row(std::string name, std::string doc, const Shape& input, const Options& defaults = {}) {
  const auto make = [](const Options& options, const RootOptions& root) -> std::unique_ptr<Model> {
    return std::make_unique<M>(options, root);
  };
  return {
      make_entry<std::unique_ptr<Model>, const RootOptions&>(std::move(name), std::move(doc), defaults, make),
      input};
}

ResNet20Options three_stages(int64_t blocks) {
  ResNet20Options options;
  options.blocks = {blocks, blocks, blocks};
  return options;
}

ResNetOptions resnet50() {
  ResNetOptions options;
  options.blocks = {3, 4, 6, 3};
  return options;
}

VisionTransformerOptions vision_transformer(int64_t width, int64_t heads, double drop_path) {
  VisionTransformerOptions options;
  options.width = width;
  options.heads = heads;
  options.drop_path = drop_path;
  return options;
}

const std::vector<Row>& rows() {
  static const Shape cifar = {32, 32, 3}, mnist = {28, 28, 1}, imagenet = {224, 224, 3}, b3 = {300, 300, 3},
                     text = {256}, sound = {447146, 2};
  static const std::vector<Row> table = {
      row<Mlp, MlpOptions>("mlp", "perceptron on flattened images", mnist),
      row<LeNet, LeNetOptions>("lenet", "LeNet-5 with relu and max pooling", mnist),
      row<ResNet20>("resnet20", "ResNet-20 for CIFAR", cifar, three_stages(3)),
      row<ResNet20>("resnet32", "ResNet-32 for CIFAR", cifar, three_stages(5)),
      row<ResNet20>("resnet44", "ResNet-44 for CIFAR", cifar, three_stages(7)),
      row<ResNet20>("resnet56", "ResNet-56 for CIFAR", cifar, three_stages(9)),
      row<ResNet18Cifar, ResNet18CifarOptions>("resnet18_cifar", "ResNet-18 for CIFAR", cifar),
      row<WideResNet, WideResNetOptions>("wrn28_10", "Wide ResNet 28-10 for CIFAR", cifar),
      row<MobileNetV1Cifar, MobileNetV1CifarOptions>("mobilenetv1_cifar", "MobileNetV1 for CIFAR", cifar),
      row<ResNet<BasicBlock>, ResNetOptions>("resnet18", "ResNet-18 for ImageNet", imagenet),
      row<ResNet<Bottleneck>>("resnet50", "ResNet-50 for ImageNet", imagenet, resnet50()),
      row<MobileNetV1, MobileNetV1Options>("mobilenetv1", "MobileNetV1 for ImageNet", imagenet),
      row<EfficientNet, EfficientNetOptions>("efficientnet_b3", "EfficientNet-B3 for ImageNet", b3),
      row<VitCifar, VitCifarOptions>("vit_cifar", "vision transformer for CIFAR", cifar),
      row<VisionTransformer>("deit_tiny", "DeiT-Tiny for ImageNet", imagenet,
                             vision_transformer(192, 3, 0.1)),
      row<VisionTransformer>("deit_small", "DeiT-Small for ImageNet", imagenet,
                             vision_transformer(384, 6, 0.1)),
      row<VisionTransformer>("deit_base", "DeiT-Base for ImageNet", imagenet,
                             vision_transformer(768, 12, 0.1)),
      row<VisionTransformer>("vit_tiny", "ViT-Tiny for ImageNet", imagenet, vision_transformer(192, 3, 0)),
      row<TinyVit, TinyVitOptions>("tiny_vit_5m", "TinyViT-5M for ImageNet", imagenet),
      row<Gpt, GptOptions>("gpt", "decoder-only language model", text),
      row<Demucs, DemucsOptions>("demucs", "waveform U-Net with an LSTM, separates music", sound),
      row<TransformerLm, TransformerLmOptions>("transformer_lm",
                                               "language model with adaptive input and softmax", text),
      row<TransformerLm>("transformer_lm_wiki103", "the same for WikiText-103, 247 M parameters", {3072},
                         transformer_lm_wiki103()),
  };
  return table;
}

}  // namespace

const ModelRegistry& model_registry() {
  static const ModelRegistry registry = [] {
    std::vector<ModelRegistry::Entry> entries;
    for (const Row& row : rows()) entries.push_back(row.entry);
    return ModelRegistry("model", std::move(entries));
  }();
  return registry;
}

Shape model_input_shape(std::string_view name) {
  const Value section = Value::object({{"type", Value::string(std::string(name))}});
  const ModelRegistry::Entry& entry = model_registry().at(section, {"", "model"});
  const auto found = std::find_if(rows().begin(), rows().end(),
                                  [&](const Row& row) { return row.entry.name == entry.name; });
  return found->input;
}

}  // namespace lathe
