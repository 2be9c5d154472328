// Before any other header of Thrust's where nvcc compiles: the distribution's, which takes the place of a toolkit's own in
// silence where that is not installed or comes later on the include path, is refused. Configuring compiles this too.
#pragma once

#include <thrust/version.h>

// the oldest toolkit taken, CUDA 12.0, has 2.0.1; Debian 12 has 1.17.2
static_assert(THRUST_VERSION >= 200000,
              "nvcc is given a Thrust older than 2.0, the distribution's perhaps, instead of its toolkit's (CCCL)");
