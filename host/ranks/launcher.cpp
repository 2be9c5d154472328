#include "host/ranks/launcher.hpp"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "espalier/ranks.hpp"

namespace espalier {
namespace {

bool is_set(const char* name) { return std::getenv(name) != nullptr; }

/// A number above 0; 0 where there is none.
int count_in(const char* name) {
    const char* text = std::getenv(name);
    if (text == nullptr) return 0;
    const std::string_view all(text);
    int count = 0;
    const auto read = std::from_chars(all.data(), all.data() + all.size(), count);
    return read.ec == std::errc() && read.ptr == all.data() + all.size() && count > 0 ? count : 0;
}

}  // namespace

Launch find_launch() {
    if (const int size = count_in("OMPI_COMM_WORLD_SIZE")) {
        return {size, size > 1 ? "mpirun of Open MPI" : "", {openmpi_module_name}};
    }
    // of a batch script without srun only the first is set, and nobody else was started
    const int tasks = is_set("SLURM_STEP_ID") ? count_in("SLURM_STEP_NUM_TASKS") : 0;
    if (is_set("PMIX_RANK") && tasks > 1) return {tasks, "srun", {openmpi_module_name, mpich_module_name}};
    if (const int size = count_in("PMI_SIZE")) {
        return {size, size > 1 ? (tasks > 1 ? "srun" : "mpirun of MPICH") : "", {mpich_module_name, openmpi_module_name}};
    }
    if (tasks > 1) {
        return {tasks, "srun", {}, "it was told nothing of MPI; give srun --mpi=pmix (srun --mpi=list says what there is)"};
    }
    if (const int size = count_in("WORLD_SIZE"); size > 1 && is_set("RANK") && is_set("LOCAL_RANK") && is_set("MASTER_ADDR")) {
        return {size, "torchrun", {}, "", true};
    }
    return {};
}

}  // namespace espalier
