#pragma once
#include <string_view>

namespace lathe {

/// "0.1.0", as the build knows it.
std::string_view version();
/// Compiler and build type, for environment.json.
std::string_view build_description();

}  // namespace lathe
