// Fixture of tests that launch kernels: each runs forward, in reverse and in two shuffled orders; in the shuffled ones
// the watch runtime, where it is linked, also preempts threads.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "block.hpp"
#include "watch.hpp"

namespace cuda_on_host {

inline constexpr Policy every_order[] = {
    {Order::forward, 0}, {Order::reverse, 0}, {Order::shuffled, 1}, {Order::shuffled, 2}};

class EveryOrder : public testing::TestWithParam<Policy> {
protected:
    void SetUp() override {
        set_policy(GetParam());
        watch::preempt(GetParam().order == Order::shuffled ? 100 : 0, GetParam().seed);
    }
    void TearDown() override {
        set_policy({});
        watch::preempt(0, 0);
        watch::count_traffic(false);
    }
};

/// The words of the fault that `run` ends with, or a complaint that it ended without.
template <class Run>
std::string fault_of(const Run& run) {
    try {
        run();
    } catch (const Fault& fault) {
        return fault.what();
    }
    return "no fault";
}

}  // namespace cuda_on_host
