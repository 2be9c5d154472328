// Included before everything else where the CUDA toolkit's Thrust (CCCL) is compiled for the CPU: what its own
// <cuda/std/__cccl/cuda_toolkit.h> would say on a machine without CUDA, in its place.
#pragma once

#define __CCCL_CUDA_TOOLKIT_H
#define _CCCL_HAS_CTK() 0
#define _CCCL_CTK_MAKE_VERSION(major, minor) ((major) * 1000 + (minor) * 10)
#define _CCCL_CTK() (0, 0)
#define _CCCL_CTK_BELOW(...) 1
#define _CCCL_CTK_AT_LEAST(...) 0
