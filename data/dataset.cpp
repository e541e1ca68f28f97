#include "data/dataset.h"

#include "data/device_images.h"

namespace lathe {

void Dataset::finish(Batch&, uint32_t, int64_t) const {}

std::unique_ptr<DeviceImages> Dataset::on_device(Device) const {
  return nullptr;
}

Value Dataset::describe() const {
  const DatasetInfo& about = info();
  std::vector<Value> sample;
  for (const int64_t extent : about.sample) sample.push_back(Value::integer(extent));
  std::vector<Value> names;
  for (const std::string& name : about.class_names) names.push_back(Value::string(name));
  return Value::object({{"type", Value::string(about.type)},
                        {"split", Value::string(about.split)},
                        {"samples", Value::integer(size())},
                        {"sample_shape", Value::array(std::move(sample))},
                        {"classes", Value::integer(about.classes)},
                        {"class_names", Value::array(std::move(names))},
                        {"content_hash", Value::string(about.content_hash)}});
}

}  // namespace lathe
