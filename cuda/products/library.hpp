// A library of CUDA's that is opened by name when it is needed first, so that the module runs without it.
#pragma once

#include <dlfcn.h>

#include <string>

#include "espalier/error.hpp"

namespace espalier::cuda {

class Library {
public:
    /// Opened when first asked for; open until the program ends.
    explicit Library(std::string name) : name_(std::move(name)) {}

    [[nodiscard]] bool opens() const { return handle() != nullptr; }
    [[nodiscard]] const std::string& name() const { return name_; }
    /// Throws UserError (device) if there is no such function.
    template <class Function>
    [[nodiscard]] Function* function(const char* name) const {
        auto* const found = reinterpret_cast<Function*>(dlsym(handle(), name));
        if (found == nullptr) {
            throw UserError(ExitCode::device, name_ + " has no function " + name + "; is it of another release?");
        }
        return found;
    }

private:
    [[nodiscard]] void* handle() const {
        if (!tried_) handle_ = dlopen(name_.c_str(), RTLD_NOW | RTLD_LOCAL);
        tried_ = true;
        return handle_;
    }
    std::string name_;
    mutable bool tried_ = false;
    mutable void* handle_ = nullptr;
};

}  // namespace espalier::cuda
