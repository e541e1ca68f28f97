#pragma once
#include "core/value.h"
#include "data/dataset.h"

namespace lathe {

/// environment.json: version, build, instruction set, device, threads, machine, what a sample is (`input`),
/// and the hashes of both splits' samples (null splits are left out).
Value describe_environment(Device device, const Dataset* train, const Dataset* test);

/// Resident size of this process now; 0 where the system does not tell.
int64_t resident_bytes();
/// Largest resident size of this process so far.
int64_t peak_rss_bytes();

}  // namespace lathe
