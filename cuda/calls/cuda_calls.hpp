// CUDA's runtime. Found by the include path: tests that run the backend on the CPU put their own header of this name
// there instead (tests/cuda_on_host/runtime).
#pragma once

#include <cuda_runtime_api.h>
