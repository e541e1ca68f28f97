#include "train/schedule/plateau.h"

#include <algorithm>
#include <cmath>

namespace lathe {

bool Plateau::improves(double value) const {
  if (!std::isfinite(value)) return false;  // nor could a checkpoint remember it
  if (!best_) return true;
  const double margin = options_.threshold * std::abs(*best_);
  return options_.mode == "min" ? value < *best_ - margin : value > *best_ + margin;
}

void Plateau::observe(double value) {
  if (improves(value)) {
    best_ = value;
    waited_ = 0;
  } else if (cooling_ == 0) {
    ++waited_;
  }
  if (cooling_ > 0) --cooling_;
  if (waited_ <= options_.patience) return;
  ++drops_;
  waited_ = 0;
  cooling_ = options_.cooldown;
}

double Plateau::after(double lr, const SchedulePoint&, double) const {
  const double dropped = lr * std::pow(options_.factor, static_cast<double>(drops_));
  return std::max(dropped, std::min(lr, options_.min_lr));
}

Value Plateau::state() const {
  return Value::object({{"best", best_ ? Value::real(*best_) : Value()},
                        {"waited", Value::integer(waited_)},
                        {"cooling", Value::integer(cooling_)},
                        {"drops", Value::integer(drops_)}});
}

void Plateau::restore(const Value& state) {
  const auto need = [&](const char* key) -> const Value& {
    const Value* found = state.find(key);
    LATHE_CHECK(FormatError, found != nullptr, "state of schedule plateau: ", key, " is missing");
    return *found;
  };
  const Value& best = need("best");
  best_.reset();
  if (!best.is(Value::Type::Null)) best_ = best.as_real();
  waited_ = need("waited").as_int();
  cooling_ = need("cooling").as_int();
  drops_ = need("drops").as_int();
}

}  // namespace lathe
