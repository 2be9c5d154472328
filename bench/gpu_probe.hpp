// What the CUDA design assumes of a device, measured: bytes/s by level of memory, cycles of a panel's inner loop, cost
// of a launch, sort and library rates. Each probe prints entries of one JSON object, no figure without a measurement.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace espalier::probe {

/// Ends the program with code 6 and a sentence unless `error` is success.
inline void check(cudaError_t error, const char* what, int line = __builtin_LINE()) {
    if (error == cudaSuccess) return;
    std::fprintf(stderr, "gpu_probe: %s failed: %s (line %d)\n", what, cudaGetErrorString(error), line);
    std::exit(6);
}

/// `count` elements of device memory, zeroed; released at the end.
template <class T>
class Memory {
public:
    explicit Memory(std::size_t count) {
        check(cudaMalloc(&data_, count * sizeof(T)), "cudaMalloc");
        check(cudaMemset(data_, 0, count * sizeof(T)), "cudaMemset");
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory() { cudaFree(data_); }
    [[nodiscard]] T* data() const { return data_; }
    void upload(const std::vector<T>& values) {
        check(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
    }

private:
    T* data_ = nullptr;
};

struct Spread {
    double best = 0;
    double median = 0;
};

/// Seconds of enqueue(stream) by CUDA events: of `repeats` runs after two that warm up.
template <class Enqueue>
Spread seconds_of(cudaStream_t stream, const Enqueue& enqueue, int repeats = 15) {
    cudaEvent_t begin = nullptr;
    cudaEvent_t end = nullptr;
    check(cudaEventCreate(&begin), "cudaEventCreate");
    check(cudaEventCreate(&end), "cudaEventCreate");
    std::vector<double> seconds;
    for (int i = -2; i < repeats; ++i) {
        check(cudaEventRecord(begin, stream), "cudaEventRecord");
        enqueue(stream);
        check(cudaEventRecord(end, stream), "cudaEventRecord");
        check(cudaEventSynchronize(end), "a probe");
        check(cudaGetLastError(), "a launch");
        float milliseconds = 0;
        check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
        if (i >= 0) seconds.push_back(1e-3 * milliseconds);
    }
    check(cudaEventDestroy(begin), "cudaEventDestroy");
    check(cudaEventDestroy(end), "cudaEventDestroy");
    std::sort(seconds.begin(), seconds.end());
    return {seconds.front(), seconds[seconds.size() / 2]};
}

/// Seconds of a graph of what `enqueue` enqueues.
template <class Enqueue>
Spread seconds_of_replay(cudaStream_t stream, const Enqueue& enqueue) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t ready = nullptr;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    enqueue(stream);
    check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    check(cudaGraphInstantiate(&ready, graph, 0), "cudaGraphInstantiate");
    const Spread replay =
        seconds_of(stream, [&](cudaStream_t s) { check(cudaGraphLaunch(ready, s), "cudaGraphLaunch"); });
    check(cudaGraphExecDestroy(ready), "cudaGraphExecDestroy");
    check(cudaGraphDestroy(graph), "cudaGraphDestroy");
    return replay;
}

/// "name": {"value": ..., "best": ..., "unit": ...}, `value` from the median. Smaller times give larger rates.
class Report {
public:
    void rate(const std::string& name, double work, Spread seconds, const char* unit) {
        print(name, work / seconds.median, work / seconds.best, unit);
    }
    void time(const std::string& name, double count, Spread seconds, double scale, const char* unit) {
        print(name, scale * seconds.median / count, scale * seconds.best / count, unit);
    }
    void absent(const std::string& name, const std::string& why) {
        begin(name);
        std::printf("{\"absent\": \"%s\"}", why.c_str());
    }

private:
    void begin(const std::string& name) {
        std::printf("%s\n    \"%s\": ", first_ ? "" : ",", name.c_str());
        first_ = false;
    }
    void print(const std::string& name, double median, double best, const char* unit) {
        begin(name);
        std::printf("{\"value\": %.6g, \"best\": %.6g, \"unit\": \"%s\"}", median, best, unit);
        std::fflush(stdout);
    }
    bool first_ = true;
};

void probe_memory(cudaStream_t stream, const cudaDeviceProp& device, Report& report);
void probe_latencies(cudaStream_t stream, const cudaDeviceProp& device, Report& report);
void probe_launches(cudaStream_t stream, const cudaDeviceProp& device, Report& report);
void probe_sorting(cudaStream_t stream, Report& report);
void probe_libraries(cudaStream_t stream, Report& report);

}  // namespace espalier::probe
