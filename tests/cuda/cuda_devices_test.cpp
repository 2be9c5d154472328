// Several devices: backends side by side in one process, on unlike devices and from threads of their own; which run of
// a study has which.
#include <gmock/gmock.h>

#include <thread>

#include "cuda_on_host/runtime/runtime.hpp"
#include "cuda_training.hpp"
#include "host/study/study_devices.hpp"

namespace espalier {
namespace {

/// What Turing lets a block have, few multiprocessors; then what Hopper does.
cuda_on_host::Machine unlike_devices() {
    cuda_on_host::Machine machine;
    machine.shared_bytes = std::size_t{64} << 10;
    machine.multiprocessors = 2;
    machine.more.push_back({});
    return machine;
}

class CudaDevices : public testing::Test {
protected:
    void SetUp() override { cuda_on_host::set_machine(unlike_devices()); }
    void TearDown() override { cuda_on_host::set_machine({}); }
    static std::unique_ptr<Backend> make(int device) {
        CudaOptions options;
        options.device = device;
        return backend_for_test("cuda_on_host", 1, options);
    }
    static Experiment with_panels(const DataSet& data) {
        Experiment experiment = small_experiment(data);
        experiment.spmm = Spmm::panel;
        return experiment;
    }
};

TEST_F(CudaDevices, BackendsOnTwoDevicesDoNotMixThemUp) {
    const DataSet data = small_data();
    const Experiment experiment = with_panels(data);
    const Trained want = train(*make(1), experiment, data);
    const auto first = make(0);
    const auto second = make(1);  // and now the thread's device
    expect_same(train(*first, experiment, data), want);
    expect_same(train(*second, experiment, data), want);
    EXPECT_NE(first->describe(), second->describe());
}

TEST_F(CudaDevices, AThreadThatBeganWithDevice0UsesTheBackendsOwn) {
    const DataSet data = small_data();
    const Experiment experiment = with_panels(data);
    const auto backend = make(1);
    const Trained want = train(*backend, experiment, data);
    Trained got;
    std::thread([&] { got = train(*backend, experiment, data); }).join();
    expect_same(got, want);
}

/// Cells that name a backend and a device.
std::vector<StudyCell> cells_on(const std::vector<std::pair<std::string, int>>& places) {
    std::vector<StudyCell> cells;
    for (const auto& [backend, device] : places) {
        StudyCell cell;
        cell.experiment.backend = backend;
        cell.experiment.device = device;
        cells.push_back(cell);
    }
    return cells;
}

/// The devices that the cells get one after the other, while none ends; -2 where one has to wait.
std::vector<int> devices_in_turn(const StudyDevices& devices, const std::vector<StudyCell>& cells) {
    std::vector<const StudyCell*> waiting;
    for (const StudyCell& cell : cells) waiting.push_back(&cell);
    std::vector<int> busy;
    while (!waiting.empty()) {
        const auto turn = devices.next(waiting, busy);
        if (!turn) {
            busy.push_back(-2);
            break;
        }
        busy.push_back(turn->device);
        waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(turn->cell));
    }
    return busy;
}

TEST(StudyDevicesTest, RunsTakeTheGpusThatAreFreeOneEach) {
    const auto cells = cells_on({{"cuda", any_device}, {"auto", any_device}, {"cuda", any_device}});
    const StudyDevices devices(cells, 0, {0, 3});
    EXPECT_EQ(devices.jobs(), 2);
    EXPECT_EQ(devices.used(), (std::vector<int>{0, 3}));
    EXPECT_EQ(devices_in_turn(devices, cells), (std::vector<int>{0, 3, -2}));
}

TEST(StudyDevicesTest, ARunThatNamesItsGpuWaitsForIt) {
    const auto cells = cells_on({{"cuda", 1}, {"cuda", 1}, {"cuda", 0}});
    const StudyDevices devices(cells, 0, {0, 1});
    EXPECT_EQ(devices.jobs(), 2);
    EXPECT_EQ(devices_in_turn(devices, cells), (std::vector<int>{1, 0, -2})) << "the third goes before the second";
}

TEST(StudyDevicesTest, MoreJobsThanGpusShareThemEvenly) {
    const auto cells = cells_on(std::vector<std::pair<std::string, int>>(4, {"cuda", any_device}));
    const StudyDevices devices(cells, 4, {0, 1});
    EXPECT_EQ(devices.jobs(), 4);
    EXPECT_EQ(devices_in_turn(devices, cells), (std::vector<int>{0, 1, 0, 1}));
    EXPECT_EQ(StudyDevices(cells, 1, {0, 1}).jobs(), 1);
}

TEST(StudyDevicesTest, ADeviceTakesItsPartOfTheRunsAtOnce) {
    const auto cells = cells_on(std::vector<std::pair<std::string, int>>(9, {"cuda", any_device}));
    EXPECT_EQ(StudyDevices(cells, 0, {0, 1}).room_on(0, {}), 1) << "one run on each, unless more are asked for";
    const StudyDevices devices(cells, 5, {0, 1});
    EXPECT_EQ(devices.room_on(0, {}), 3);
    EXPECT_EQ(devices.room_on(1, {0, 0, 0}), 2);
    EXPECT_EQ(devices.room_on(0, {0, 1}), 2);
    EXPECT_EQ(StudyDevices(cells, 8, {0}).room_on(0, {}), 8);
}

TEST(StudyDevicesTest, OnTheCpuThereIsARunForEveryCore) {
    const auto on_cpu = cells_on({{"cpu", any_device}, {"cpu", any_device}});
    const StudyDevices cpu(on_cpu, 0, {0, 1});
    EXPECT_GE(cpu.jobs(), 1);
    EXPECT_TRUE(cpu.used().empty());
    EXPECT_EQ(devices_in_turn(cpu, on_cpu), (std::vector<int>{any_device, any_device}));
    const auto automatic = cells_on({{"auto", any_device}});
    EXPECT_EQ(StudyDevices(automatic, 0, {}).jobs(), cpu.jobs()) << "auto is the CPU where there is no GPU";
    const auto without = cells_on({{"cuda", any_device}});
    EXPECT_EQ(devices_in_turn(StudyDevices(without, 0, {}), without), (std::vector<int>{any_device}))
        << "the run says what is wrong";
}

}  // namespace
}  // namespace espalier
