#pragma once

#include "tools/bench/harness.h"

namespace lathe::bench {

/// Every pass of the convolutions of ResNet-20 (first rows, names "r20 ..."), ResNet-18 and MobileNet whose
/// name contains `filter`; about `seconds` per row. Where Winograd serves, a second row "..., direct" is
/// without it; operations are those of the direct sum in both.
std::vector<Row> bench_conv(const std::string& filter, double seconds);

/// Milliseconds of all convolutions of a ResNet-20 training step at batch 128, from bench_conv's rows; 0 if
/// they are not all there.
double resnet20_conv_ms(const std::vector<Row>& rows);

}  // namespace lathe::bench
