#include "host/cpu/dense_library.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <vector>

#include "espalier/error.hpp"
#include "host/cpu/kernels/simd_targets.hpp"
#include "hwy/targets.h"

namespace espalier {
namespace {

constexpr const char* core_variable = "OPENBLAS_CORETYPE";
constexpr const char* library_variable = "ESPALIER_OPENBLAS";

std::atomic<const DenseLibrary*> opened{nullptr};

/// Where to look, in order: the one the user names, else the one found at build time and any that the system finds.
std::vector<std::string> places() {
    if (const char* named = std::getenv(library_variable); named != nullptr && *named != '\0') return {named};
    return {ESPALIER_OPENBLAS_FILE, "libopenblas.so.0", "libopenblas.so"};
}

template <class Function>
Function symbol(void* handle, const char* name) {
    void* found = dlsym(handle, name);
    if (found == nullptr) {
        throw UserError(ExitCode::device, std::string("the dense library has no ") + name +
                                              ": it is no OpenBLAS; name one with " + library_variable);
    }
    return reinterpret_cast<Function>(found);
}

/// 3: kernels with 512-bit vectors, 2: with fused 256-bit ones, 1: with 256-bit ones, 0: with 128-bit ones; -1: another
/// processor's, or unknown.
int rank_of(const std::string& kernels) {
    const std::vector<std::vector<const char*>> ranks{
        {"Prescott", "Core2", "Penryn", "Dunnington", "Nehalem", "Athlon", "Opteron", "Opteron_SSE3", "Barcelona",
         "Bobcat", "Atom", "Nano", "Katmai", "Coppermine", "Northwood", "Banias"},
        {"Sandybridge", "Bulldozer", "Piledriver", "Steamroller", "Excavator"},
        {"Haswell", "Zen"},
        {"SkylakeX", "Cooperlake", "SapphireRapids"}};
    for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
        for (const char* each : ranks[rank]) {
            if (kernels == each) return static_cast<int>(rank);
        }
    }
    return -1;
}

/// Sets $OPENBLAS_CORETYPE while it lives.
class CoreType {
public:
    explicit CoreType(const std::string& kernels) { ::setenv(core_variable, kernels.c_str(), 1); }
    ~CoreType() { ::unsetenv(core_variable); }
    CoreType(const CoreType&) = delete;
    CoreType& operator=(const CoreType&) = delete;
};

}  // namespace

std::string better_dense_kernels(const std::string& kernels, bool has_avx2, bool has_avx512) {
    const int rank = rank_of(kernels);
    if (rank < 0) return {};
    if (has_avx512 && rank < 3) return "SkylakeX";
    if (has_avx2 && rank < 2) return "Haswell";
    return {};
}

void DenseLibrary::open() {
    std::string faults;
    for (const std::string& place : places()) {
        handle_ = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (handle_ != nullptr) break;
        if (const char* fault = dlerror(); fault != nullptr) faults += std::string("\n  ") + fault;
    }
    if (handle_ == nullptr) {
        throw UserError(ExitCode::device,
                        "large dense layers need OpenBLAS, which cannot be opened; install it (Debian: "
                        "libopenblas0-openmp) or name its file with " +
                            std::string(library_variable) + ":" + faults);
    }
    sgemm_ = symbol<decltype(sgemm_)>(handle_, "cblas_sgemm");
    set_threads_ = symbol<decltype(set_threads_)>(handle_, "openblas_set_num_threads");
    parallel_ = symbol<int (*)()>(handle_, "openblas_get_parallel")();
    configuration_ = symbol<char* (*)()>(handle_, "openblas_get_config")();
    kernels_ = symbol<char* (*)()>(handle_, "openblas_get_corename")();
}

DenseLibrary::DenseLibrary() {
    open();
    if (std::getenv(core_variable) != nullptr) {
        reason_ = std::string(" (by $") + core_variable + ")";
    } else {
        const std::int64_t has = hwy::SupportedTargets();
        const std::string better = better_dense_kernels(kernels_, (has & HWY_AVX2) != 0, (has & HWY_AVX3) != 0);
        if (!better.empty()) {
            const std::string own = kernels_;
            dlclose(handle_);
            const CoreType wanted(better);
            open();
            reason_ = " (its own choice was " + own + ")";
        }
    }
    set_threads_(1);
    opened = this;
}

const DenseLibrary& DenseLibrary::get() {
    static const DenseLibrary library;
    return library;
}

const DenseLibrary* DenseLibrary::if_open() { return opened; }

std::string DenseLibrary::version() const {
    const auto first = configuration_.find(' ');
    return configuration_.substr(0, first == std::string::npos ? first : configuration_.find(' ', first + 1));
}

}  // namespace espalier
