#include "data/common.h"

#include <algorithm>
#include <vector>

namespace lathe {
namespace {

constexpr double kMaxBatch = 1e7;  // with any number of samples, no sum overflows

}  // namespace

void DataCommon::fields(FieldVisitor& v) {
  v.visit("batch", batch, {.doc = "samples in a training step", .min = 1, .max = kMaxBatch});
  v.visit("eval_batch", eval_batch,
          {.doc = "samples in an evaluation step; null: batch", .min = 1, .max = kMaxBatch});
  v.visit("limit", limit, {.doc = "use only the first training samples; null: all", .min = 1});
  v.visit("eval_limit", eval_limit, {.doc = "use only the first test samples; null: all", .min = 1});
}

int64_t DataCommon::limited(std::string_view split, int64_t size) const {
  return std::min(size, (split == "train" ? limit : eval_limit).value_or(size));
}

DataCommon read_data_common(const Value& section, const FieldPath& where) {
  DataCommon common;
  const Value own = write_fields(common);
  std::vector<std::string_view> others;
  if (section.is(Value::Type::Object)) {
    for (const auto& [key, value] : section.members()) {
      if (own.find(key) == nullptr) others.push_back(key);
    }
  }
  read_fields(common, section, where, others);
  return common;
}

}  // namespace lathe
