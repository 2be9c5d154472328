// Functions that run on both sides of the seam carry ESPALIER_HOST_DEVICE.
// This is the only header with a preprocessor conditional.
#pragma once

#ifdef __CUDACC__
#define ESPALIER_HOST_DEVICE __host__ __device__
#else
#define ESPALIER_HOST_DEVICE
#endif
