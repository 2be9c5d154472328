#include "host/backends.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>

#include "espalier/device_product.hpp"
#include "espalier/error.hpp"
#include "host/cpu/cpu_backend.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {
/// Why this build made no module, a sentence's second half; empty if it did.
constexpr const char* not_built = ESPALIER_CUDA_FAULT;
}  // namespace

std::vector<fs::path> module_folders() {
    std::vector<fs::path> folders;
    if (const char* listed = std::getenv("ESPALIER_MODULE_PATH"); listed != nullptr) {
        std::istringstream stream(listed);
        for (std::string folder; std::getline(stream, folder, ':');) {
            if (!folder.empty()) folders.emplace_back(folder);
        }
    }
    std::error_code unreadable;
    const fs::path program = fs::read_symlink("/proc/self/exe", unreadable);
    if (!unreadable) {
        const fs::path folder = program.parent_path();
        folders.push_back(folder);
        folders.push_back(folder.parent_path() / "lib" / "espalier");
        folders.push_back(folder.parent_path() / "lib");
    }
    // The library may be part of a package that another program, Python say, has loaded.
    Dl_info library{};
    if (dladdr(reinterpret_cast<const void*>(&module_folders), &library) != 0 && library.dli_fname != nullptr) {
        const fs::path file = fs::weakly_canonical(library.dli_fname, unreadable);
        if (!unreadable && file != program && file.parent_path() != program.parent_path()) {
            folders.push_back(file.parent_path());
        }
    }
    return folders;
}

CudaModule find_cuda_module(const std::vector<fs::path>& folders) {
    CudaModule module;
    std::string searched;
    for (const auto& folder : folders) {
        std::error_code unreadable;
        if (const fs::path file = folder / cuda_module_name; fs::exists(file, unreadable)) {
            module.path = file;
            break;
        }
        searched += (searched.empty() ? "" : ", ") + folder.string();
    }
    if (module.path.empty()) {
        module.fault = std::string("there is no ") + cuda_module_name + " in " +
                       (searched.empty() ? "the search path, which is empty" : searched) +
                       (*not_built != '\0' ? "; it was not built, for " + std::string(not_built) : std::string()) +
                       "; build Espalier where the CUDA toolkit is installed, or set ESPALIER_MODULE_PATH to the "
                       "folder that holds it";
        return module;
    }
    // An absolute path, so that the loader does not take a bare name for one of the system's.
    void* handle = dlopen(fs::absolute(module.path).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
        const char* why = dlerror();
        module.fault = module.path.string() + " does not open: " + (why != nullptr ? why : "no reason given");
        return module;
    }
    module.entry = reinterpret_cast<MakeCudaBackend>(dlsym(handle, cuda_module_entry));
    module.product = reinterpret_cast<MakeCudaProduct>(dlsym(handle, cuda_module_product));
    module.describe = reinterpret_cast<DescribeCudaModule>(dlsym(handle, cuda_module_report));
    module.join = reinterpret_cast<MakeRanks>(dlsym(handle, nccl_ranks_entry));
    if (module.entry == nullptr) {
        dlclose(handle);
        module.describe = nullptr;
        module.product = nullptr;
        module.fault =
            module.path.string() + " does not export " + cuda_module_entry + "; it is not an Espalier module";
    }
    return module;
}

std::string describe_cuda(bool try_devices) {
    const CudaModule module = find_cuda_module(module_folders());
    if (module.describe == nullptr) return {};
    std::string text(65536, '\0');
    module.describe(module_interface, try_devices ? 1 : 0, text.data(), text.size());
    text.resize(text.find('\0'));
    return text;
}

const std::vector<int>& cuda_devices() {
    static const std::vector<int> found = [] {
        std::vector<int> numbers;
        const auto report = nlohmann::json::parse(describe_cuda(false), nullptr, false);
        if (!report.contains("devices")) return numbers;
        for (const auto& device : report["devices"]) {
            if (device.value("fault", "").empty()) numbers.push_back(device["device"].get<int>());
        }
        return numbers;
    }();
    return found;
}

std::unique_ptr<Backend> try_cuda_backend(std::string& reason, const CudaOptions& options) {
    const CudaModule module = find_cuda_module(module_folders());
    reason = module.fault;
    if (module.entry == nullptr) return nullptr;
    char why[1024] = {};
    std::unique_ptr<Backend> backend(module.entry(module_interface, &options, why, sizeof why));
    if (backend == nullptr) {
        why[sizeof why - 1] = '\0';
        reason = why[0] != '\0' ? why : module.path.string() + " made no backend and gave no reason";
    }
    return backend;
}

std::unique_ptr<DeviceProduct> make_device_product(const Topology& topology, int device) {
    expects(fault(topology).empty(), "a topology without fault");
    const CudaModule module = find_cuda_module(module_folders());
    char why[1024] = {};
    std::unique_ptr<DeviceProduct> product;
    if (module.product != nullptr) {
        product.reset(module.product(module_interface, &topology, device, why, sizeof why - 1));
    }
    if (product == nullptr) {
        const std::string reason = !module.fault.empty() ? module.fault : *why != '\0' ? why : "it is an old CUDA module";
        throw UserError(ExitCode::device, "the CUDA module cannot be used: " + reason);
    }
    return product;
}

std::unique_ptr<Backend> make_backend(const std::string& name, int threads, std::string* remark,
                                      const CudaOptions& cuda) {
    if (remark != nullptr) remark->clear();
    if (name == "cpu") return make_cpu_backend(threads);
    if (name != "cuda" && name != "auto") {
        throw UserError(ExitCode::usage, "'" + name + "' is no backend; choose auto, cpu or cuda");
    }
    std::string reason;
    if (auto backend = try_cuda_backend(reason, cuda)) return backend;
    if (name == "cuda") throw UserError(ExitCode::device, "the CUDA backend cannot be used: " + reason);
    if (remark != nullptr) *remark = "using the CPU, since the CUDA backend cannot be used: " + reason;
    return make_cpu_backend(threads);
}

namespace {
/// Throws UserError (usage) for what several processes do not train on GPUs.
void expect_of_gpus(const Experiment& experiment) {
    if (experiment.model == ModelKind::rbm) {
        throw UserError(ExitCode::usage, "model: several processes train a restricted Boltzmann machine on CPUs only; give "
                                         "--backend cpu, or --ranks off");
    }
    if (experiment.spmm == Spmm::cusparse) {
        throw UserError(ExitCode::usage, "spmm: several processes multiply by Espalier's own kernels only, of which sums keep "
                                         "their order; choose auto, gather, panel or coo");
    }
}
}  // namespace

std::unique_ptr<Backend> make_backend(const Experiment& experiment, std::string* remark, Ranks* ranks) {
    CudaOptions cuda;
    cuda.graph = experiment.graph == GraphUse::on ? 1 : 0;
    cuda.device = std::max(0, experiment.device);
    if (ranks == nullptr) return make_backend(experiment.backend, experiment.threads, remark, cuda);
    if (remark != nullptr) remark->clear();
    const bool by_cuda = experiment.backend == "cuda" || (experiment.backend == "auto" && ranks->place().on_gpus);
    if (!by_cuda) return make_cpu_backend(experiment.threads, ranks);
    expect_of_gpus(experiment);
    cuda.device = experiment.device;
    cuda.ranks = ranks;
    return make_backend("cuda", experiment.threads, remark, cuda);
}

}  // namespace espalier
