#include "core/error.h"

#include <doctest/doctest.h>

using lathe::Error;
using lathe::ErrorKind;

TEST_SUITE_BEGIN("core");

TEST_CASE("error: a prefix stands before the message, and the class stays") {
  const auto prefixed = [](const auto& raise) {
    try {
      raise();
    } catch (Error& error) {
      error.prepend("point a: ");
      throw;
    }
  };
  try {
    prefixed([] { LATHE_THROW(lathe::DataError, "no such file"); });
    FAIL("nothing was thrown");
  } catch (const lathe::DataError& error) {
    CHECK(error.kind() == ErrorKind::Data);
    CHECK(std::string(error.what()) == "point a: no such file");
    CHECK(error.brief() == error.what());
  }
  try {
    prefixed([] { LATHE_THROW(lathe::DeviceError, "no device"); });
    FAIL("nothing was thrown");
  } catch (const lathe::DeviceError& error) {
    CHECK(error.brief() == "point a: no device");
    CHECK(std::string(error.what()).starts_with("point a: no device at "));
  }
}

TEST_SUITE_END();
