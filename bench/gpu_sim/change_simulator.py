#!/usr/bin/env python3
"""change_simulator.py CHECKOUT: what Espalier's kernels need of accel-sim/gpgpu-sim_distribution (branch h100-test, commit
fa235ebc): it builds without its power model, five PTX instructions compute what the hardware computes, copies into shared
memory hold back nothing, and two variables give it a multiprocessor's bandwidth and arithmetic. Each place is looked for
before anything is written.

SIM_L2_PORTS=N   sectors of 32 bytes that enter a multiprocessor a cycle; 1 without, 2 on hardware since Volta.
SIM_BYPASS=1     a result of arithmetic can be used 3 cycles and its latency after its issue, not after the whole pipeline.
"""
import pathlib
import shutil
import sys


class Source:
    """One file and what becomes of it."""

    def __init__(self, root, name):
        self.path = root / name
        self.text = self.path.read_text()

    def replace(self, old, new, after=""):
        """Everywhere, or, where `after` is given, the first place behind it."""
        at = self.text.index(after)
        if old not in self.text[at:]:
            raise SystemExit(f"{self.path}: this is another version of the simulator: {old.strip()!r} is not there")
        self.text = self.text[:at] + self.text[at:].replace(old, new, 1 if after else -1)
        return self


def without_power_model(root):
    return [Source(root, "Makefile").replace("check_setup_environment check_power makedirs",
                                             "check_setup_environment makedirs"),
            Source(root, "src/gpgpu-sim/gpu-sim.cc").replace(
                "class gpgpu_sim_wrapper {};",
                "#define MAX(a, b) ((a) > (b) ? (a) : (b))\n"
                "struct gpgpu_sim_wrapper {\n  PowerscalingCoefficients *get_scaling_coeffs() { return nullptr; }\n};")
            .replace("      m_cluster[i]->icnt_cycle();\n",
                     "      for (unsigned p = 0; p < sim_l2_ports(); ++p) m_cluster[i]->icnt_cycle();\n")]


def arithmetic(root):
    """A fused multiply-add rounds once, 32 times 32 bits are multiplied in 64, bit fields may lie in 64 bits, a float becomes a
    64-bit integer without becoming one of 32 bits first."""
    return [Source(root, "src/cuda-sim/instructions.cc")
            .replace("d.f32 = a.f32 * b.f32 + c.f32;", "d.f32 = __builtin_fmaf(a.f32, b.f32, c.f32);")
            .replace("t.u64 = a.u32 * b.u32;", "t.u64 = (unsigned long long)a.u32 * b.u32;")
            .replace("t.s64 = a.s32 * b.s32;", "t.s64 = (long long)a.s32 * b.s32;")
            .replace("data.u32 = (~((0x00000001) << (pos + i))) & data.u32;", "data.u64 &= ~(1ULL << (pos + i));")
            .replace("data.u32 = data.u32 | ((src1_data.u32 & ((0x00000001) << (i))) << (pos));",
                     "data.u64 |= (src1_data.u64 & (1ULL << i)) << pos;")
            .replace("    int tmp = cuda_math::float2int(x.f32, mode);\n",
                     "    long long tmp = to_width < 64 ? cuda_math::float2int(x.f32, mode)\n"
                     "                                  : (long long)(mode == cudaRoundMinInf ? floorf(x.f32) : x.f32);\n")]


def runtime(root):
    """The program need not be linked to the runtime whose version the simulator has; who waits for a stream waits."""
    return [Source(root, "libcuda/cuda_runtime_api.cc")
            .replace("int app_cuda_version = get_app_cuda_version();",
                     "int app_cuda_version = CUDART_VERSION / 1000;\n  (void)get_app_cuda_version;")
            .replace("  if (stream == NULL) ctx->synchronize();\n", "  ctx->synchronize();\n")]


def bandwidth(root):
    ports = """
#include <cstdlib>
inline unsigned sim_l2_ports() {
  static const unsigned ports = getenv("SIM_L2_PORTS") ? atoi(getenv("SIM_L2_PORTS")) : 1;
  return ports;
}
class gpgpu_context;"""
    cycle = "void ldst_unit::cycle() {"
    each = "for (unsigned p = 0; p < sim_l2_ports(); ++p) "
    return [Source(root, "src/gpgpu-sim/shader.h").replace("\nclass gpgpu_context;", ports, after="#define"),
            Source(root, "src/gpgpu-sim/shader.cc")
            .replace("if (m_operand_collector->writeback(m_next_wb)) {",
                     "if (sim_l2_ports() > 1 || m_operand_collector->writeback(m_next_wb)) {",
                     after="void ldst_unit::writeback() {")
            .replace("  writeback();\n", f"  {each}writeback();\n", after=cycle)
            .replace("  if (!m_response_fifo.empty()) {\n",
                     "  for (unsigned p = 0; p < sim_l2_ports() && !m_response_fifo.empty(); ++p) {\n", after=cycle)
            .replace("    m_L1D->cycle();\n", f"    {each}m_L1D->cycle();\n", after=cycle)]


def latency(root):
    """Results of arithmetic come early. A load that is marked as a copy holds back no later instruction, neither the store of
    what it loads (whose bits are right all the same) nor the next copy: only a barrier in memory waits for it."""
    now = "m_gpu->gpu_sim_cycle + m_gpu->gpu_tot_sim_cycle"
    held = """struct sim_result { unsigned long long cycle; unsigned warp, reg; };
static std::map<unsigned, std::vector<sim_result> > sim_results;  // by multiprocessor
static bool sim_bypass(const inst_t* inst) {
  static const bool asked = getenv("SIM_BYPASS") != NULL;
  return asked && !inst->is_load() && !inst->is_store() && inst->op != BARRIER_OP;
}
typedef std::map<std::pair<unsigned, unsigned>, std::set<unsigned> > sim_registers;
static sim_registers sim_copies;  // by multiprocessor and warp: what loads marked as copies are on their way to
// Constructor
"""
    reserve = f"""      reserveRegister(inst->warp_id(), inst->out[r]);
      const sim_result result = {{{now} + 3 + (inst->latency < 1 ? 1 : inst->latency), inst->warp_id(),
                                 (unsigned)inst->out[r]}};
      if (sim_bypass(inst)) sim_results[m_sid].push_back(result);
"""
    release = f"""  std::vector<sim_result>& results = sim_results[m_sid];
  for (unsigned i = 0; i < results.size();) {{
    if (results[i].cycle > {now}) {{ ++i; continue; }}
    const_cast<Scoreboard*>(this)->releaseRegister(results[i].warp, results[i].reg);
    results[i] = results.back();
    results.pop_back();
  }}
"""
    pending = "bool Scoreboard::pendingWrites(unsigned wid) const {\n"  # asked of a warp that ends, with results under way
    copy = """  if (inst->is_load() && inst->cache_op == CACHE_LAST_USE) {  // what toolkit_tool.py marks
    for (unsigned r = 0; r < MAX_OUTPUT_VALUES; r++)
      if (inst->out[r] > 0) sim_copies[std::make_pair(m_sid, inst->warp_id())].insert(inst->out[r]);
    return;
  }
"""
    copied = "  sim_copies[std::make_pair(m_sid, wid)].erase(regnum);\n"
    reserving = "void Scoreboard::reserveRegisters(const class warp_inst_t* inst) {\n"
    releasing = "void Scoreboard::releaseRegister(unsigned wid, unsigned regnum) {\n"
    head = "void Scoreboard::releaseRegisters(const class warp_inst_t* inst) {\n"
    return [Source(root, "src/gpgpu-sim/scoreboard.cc")
            .replace('#include "../cuda-sim/ptx_sim.h"\n',
                     "".join(f"#include <{each}>\n" for each in ("cstdlib", "map", "set", "utility", "vector")) +
                     '#include "../cuda-sim/ptx_sim.h"\n')
            .replace("// Constructor\n", held)
            .replace("      reserveRegister(inst->warp_id(), inst->out[r]);\n", reserve)
            .replace(reserving, reserving + copy)
            .replace(releasing, releasing + copied)
            .replace("  return !reg_table[wid].empty();\n",
                     "  return !reg_table[wid].empty() || !sim_copies[std::make_pair(m_sid, wid)].empty();\n")
            .replace(head, head + "  if (sim_bypass(inst)) return;\n")
            .replace(pending, pending + release)
            .replace("  // Get list of all input and output registers\n", release)]


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    root = pathlib.Path(sys.argv[1])
    changed = [source for change in (without_power_model, arithmetic, runtime, bandwidth, latency) for source in change(root)]
    for source in changed:
        source.path.write_text(source.text)
    shutil.rmtree(root / "src/accelwattch", ignore_errors=True)


main()
