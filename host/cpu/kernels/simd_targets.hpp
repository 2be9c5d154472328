// The instruction sets the kernels are compiled for: on x86 AVX-512, AVX2 and, as the portable one, SSSE3 (every
// x86-64 processor since 2011); on Arm NEON. To be included before Highway, in every file that uses it.
#pragma once

#define HWY_WANT_SSSE3 1
#define HWY_DISABLED_TARGETS (HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
