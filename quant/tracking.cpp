#include "quant/tracking.h"

#include <algorithm>

#include "autograd/ops/elementwise.h"
#include "core/error.h"
#include "quant/cpu/groups.h"
#include "quant/math/oscillation.h"

namespace lathe {
namespace {

using Row = quant::Oscillation<float>;
constexpr int64_t kColumns = sizeof(Row) / sizeof(float);

/// The history as rows, on the host. What it holds are codes, flags and averages: float is enough.
class Rows {
 public:
  explicit Rows(const Tensor& history)
      : tensor_(history.to(Device::cpu()).to(DType::F32)), count_(tensor_.numel() / kColumns) {}
  const Row* begin() const { return reinterpret_cast<const Row*>(tensor_.ptr<float>()); }
  const Row* end() const { return begin() + count_; }
  const Row& operator[](int64_t i) const { return begin()[i]; }
  int64_t count() const { return count_; }
  bool any_frozen() const {
    return std::any_of(begin(), end(), [](const Row& row) { return row.frozen != 0; });
  }

 private:
  Tensor tensor_;
  int64_t count_;
};

Tensor like(const Tensor& host, const Tensor& other) {
  return host.to(other.dtype()).to(other.device());
}

}  // namespace

void TrackingOptions::fields(FieldVisitor& v) {
  v.visit("oscillation_momentum", oscillation_momentum,
          {.doc = "of the average number of times that a weight's code turns back in a step; 0: not tracked. "
                  "Published: 0.001 to 0.01",
           .min = 0,
           .max = 1});
  v.visit("freeze_threshold", freeze_threshold,
          {.doc = "weights whose average is above are frozen for good; 0: none. Published: 0.1", .min = 0});
  v.visit("freeze_threshold_end", freeze_threshold_end,
          {.doc = "where half a cosine takes the threshold by the end of the run; null: it stays", .min = 0});
  v.visit("freeze_begin", freeze_begin, {.doc = "share of the steps before freezing", .min = 0, .max = 1});
}

TrackedQuantizer::TrackedQuantizer(const Site& site, const std::string& method,
                                   const TrackingOptions& options, bool rounds)
    : Quantizer(site, method), options_(options), rounds_(rounds) {
  LATHE_CHECK(ConfigError, !options.freezes() || options.oscillation_momentum > 0, method,
              ": freeze_threshold needs an oscillation_momentum above 0");
  LATHE_CHECK(ConfigError, !options.freezes() || (rounds && site.forward), method,
              ": weights can be frozen only where training multiplies with rounded ones");
  if (options.oscillation_momentum > 0)
    history_ = std::make_unique<Buffer>(*this, "history", Shape({site.parameter.numel(), kColumns}), 0);
}

void TrackedQuantizer::initialise() {
  begin();
  if (history_ == nullptr) return;
  const Codes codes = codes_of(parameter().raw().data());
  const int32_t* q = codes.integers.ptr<int32_t>();
  Tensor history = Tensor::zeros(history_->data().shape());
  auto* rows = reinterpret_cast<Row*>(history.mut<float>());
  for (int64_t i = 0; i < codes.integers.numel(); ++i) {
    rows[i].previous = static_cast<float>(q[i]);
    rows[i].average = static_cast<float>(q[i]);
  }
  history_->data() = like(history, history_->data());
}

void TrackedQuantizer::hold_frozen(Codes& codes) const {
  const Rows rows(history_->data());
  if (!rows.any_frozen()) return;
  const int bits = codes.bits.ptr<uint8_t>()[0];
  const int32_t most = lowest_code(codes.decoder, bits) + (1 << bits) - 1;
  const int32_t least = codes.decoder == Decoder::DeadZone ? -most : lowest_code(codes.decoder, bits);
  int32_t* q = codes.integers.mut<int32_t>();
  for (int64_t i = 0; i < rows.count(); ++i) {
    if (rows[i].frozen != 0) q[i] = std::clamp(static_cast<int32_t>(rows[i].frozen_code), least, most);
  }
}

Codes TrackedQuantizer::encode(const Tensor& raw) const {
  Codes codes = codes_of(raw);
  if (history_ != nullptr) hold_frozen(codes);
  return codes;
}

void TrackedQuantizer::before_update(const Moment& moment) {
  if (history_ == nullptr) return;
  const ErrorScope scope(*this);
  const CosineRamp ramp{options_.freeze_threshold,
                        options_.freeze_threshold_end.value_or(options_.freeze_threshold),
                        options_.freeze_begin};
  // Frozen weights have their own codes in the history.
  const NoGrad no_grad;
  Tensor codes = numbers_of(parameter().raw().data().to(DType::F32)).to(history_->data().dtype());
  kernels::oscillation_step(codes, history_->data(), options_.oscillation_momentum,
                            options_.freezes() && ramp.begun(moment) ? ramp.at(moment) : 0);
}

std::optional<Oscillations> TrackedQuantizer::oscillations(double cutoff) const {
  if (history_ == nullptr) return {};
  const Rows rows(history_->data());
  const auto share = [&](const auto& counts) {
    return static_cast<double>(std::count_if(rows.begin(), rows.end(), counts)) /
           static_cast<double>(std::max<int64_t>(1, rows.count()));
  };
  return Oscillations{share([&](const Row& row) { return static_cast<double>(row.frequency) > cutoff; }),
                      share([](const Row& row) { return row.frozen != 0; })};
}

Var TrackedQuantizer::value_of(const Codes& codes) const {
  return Var(like(decode(codes), parameter().raw().data()));
}

Var TrackedQuantizer::train(const Var& raw, const RunState&, uint32_t) {
  const Var free = rounded(raw);
  if (!options_.freezes()) return free;
  const Rows rows(history_->data());
  if (!rows.any_frozen()) return free;
  Tensor mask = Tensor::empty(raw.shape());
  for (int64_t i = 0; i < rows.count(); ++i) mask.mut<float>()[i] = rows[i].frozen;
  const Var frozen(like(mask, raw.data()));
  const Var held = value_of(encode(raw.data()));
  return add(mul(free, add_scalar(neg(frozen), 1)), mul(held, frozen));
}

}  // namespace lathe
