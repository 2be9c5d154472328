// Who started this process, as its environment says: alone, or as one of several by mpirun, srun or torchrun.
#pragma once

#include <string>
#include <vector>

namespace espalier {

struct Launch {
    int size = 1;                      // processes
    std::string launcher = {};         // in words; empty: none that starts several
    std::vector<std::string> modules = {};  // file names of those that may bring them together, likeliest first
    std::string fault = {};            // why nothing can; empty where something may
    bool by_nccl = false;              // the CUDA module may bring them together
};

Launch find_launch();

}  // namespace espalier
