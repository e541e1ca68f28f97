#include "train/batch_statistics.h"

#include "autograd/var.h"
#include "layers/norm.h"
#include "layers/parameter.h"

namespace lathe {
namespace {

void add_statistics(const Module& module, std::vector<Buffer*>& buffers) {
  if (dynamic_cast<const BatchNorm*>(&module) != nullptr)
    buffers.insert(buffers.end(), module.own_buffers().begin(), module.own_buffers().end());
  for (const Module* child : module.children()) add_statistics(*child, buffers);
}

}  // namespace

UseBatchStatistics::UseBatchStatistics(Model& model, Loader* loader, int64_t batches) {
  if (loader == nullptr || batches == 0) return;
  add_statistics(model, buffers_);
  if (buffers_.empty()) return;
  for (Buffer* buffer : buffers_) {
    before_.push_back(buffer->data());
    buffer->data() = buffer->data().clone();
  }
  const NoGrad no_grad;
  RunState& run = model.run();
  const Mode mode = run.mode;
  run.mode = Mode::Eval;
  ++run.forward;
  Batch batch;
  loader->start(0);
  for (int64_t i = 0; i < batches && loader->next(batch); ++i) {
    run.statistics_momentum = 1.0 / static_cast<double>(i + 1);
    model.forward(batch.to(model.device()));
  }
  run.statistics_momentum = 0;
  run.mode = mode;
}

UseBatchStatistics::~UseBatchStatistics() {
  for (size_t i = 0; i < buffers_.size(); ++i) buffers_[i]->data() = before_[i];
}

std::vector<NamedTensor> UseBatchStatistics::state() const {
  std::vector<NamedTensor> all;
  for (const Buffer* buffer : buffers_) all.push_back({buffer->path(), buffer->data().clone()});
  return all;
}

}  // namespace lathe
