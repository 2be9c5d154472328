#!/usr/bin/env python3
"""What nvcc made of each kernel, as the table cuda/costs.txt: what a multiprocessor holds of it on every architecture,
and the loop that it spends its time in. Called by registers_test.sh on what that script compiled.

usage: kernel_costs.py FOLDER LOG [NVDISASM]
  FOLDER: nvcc's intermediate files (--keep), *.compute_NN.ptx and *.compute_NN.cubin; LOG: what ptxas -v said
  NVDISASM: prints the loops of the machine code for sm_90 instead (NVIDIA's disassembler, of PyPI's nvidia-cuda-nvdisasm)
Ends with 1 if a kernel keeps an array in local memory, which ptxas hides where it has registers enough.
"""
import collections
import re
import subprocess
import sys
from pathlib import Path

# warps and blocks that a multiprocessor holds, bytes of shared memory (CUDA C++ Programming Guide, technical specifications)
MULTIPROCESSOR = {75: (32, 16, 64), 80: (64, 32, 164), 86: (48, 16, 100), 89: (48, 24, 100), 90: (64, 32, 228),
                  100: (64, 32, 228), 120: (48, 24, 100)}
REGISTERS = 65536

Loop = collections.namedtuple("Loop", "instructions fma loads in_flight")


def short_names(names):
    """Mangled names -> names as the tables have them."""
    plain = subprocess.run(["c++filt"], input="\n".join(names), text=True, capture_output=True, check=True).stdout
    for name, each in zip(names, plain.splitlines()):
        each = each.removeprefix("void ").replace("espalier::cuda::", "").replace("espalier::", "")
        yield name, re.sub(r"\(.*\)$", "", each)


def ptx_kernels(text):
    """(name, lines) of each kernel."""
    for entry in re.split(r"\.entry\s+", text)[1:]:
        name = re.match(r"\w+", entry).group()
        yield name, entry[:entry.index("\n}")].splitlines()


def instructions_of_ptx(lines):
    """[(operation, text)], {label: index of what follows it}."""
    code, labels = [], {}
    for line in lines[1:]:
        text = line.strip()
        label = re.match(r"(\$\w+):", text)
        if label:
            labels[label.group(1)] = len(code)
        elif re.match(r"(@!?%p\d+\s+)?[a-z]", text) and text.endswith(";"):
            text = re.sub(r"^@!?%p\d+\s+", "", text).rstrip(";")
            code.append((text.split()[0], text))
    return code, labels


def hot_loop(code, back_edges, is_fma, is_load):
    """The innermost of the loops with fused multiply-adds, that with the most of them; loads in flight: the most of 16 bytes
    in a row, or asked for before a fused multiply-add needs one of them."""
    loops = sorted((begin, end) for begin, end in set(back_edges) if any(map(is_fma, code[begin:end + 1])))
    inner = [(a, b) for a, b in loops if not any((c, d) != (a, b) and a <= c and d <= b for c, d in loops)]
    found = None
    for begin, end in inner:
        body = code[begin:end + 1]
        fma = sum(map(is_fma, body))
        in_flight = most = 0
        for each in body:
            in_flight = 0 if is_fma(each) else in_flight + is_load(each)
            most = max(most, in_flight)
        loop = Loop(len(body), fma, sum(map(is_load, body)), most)
        if fma and (found is None or fma > found.fma):
            found = loop
    return found


def ptx_loop(lines):
    code, labels = instructions_of_ptx(lines)
    back = []
    for at, (operation, text) in enumerate(code):
        target = labels.get(text.split()[-1])
        if operation.startswith("bra") and target is not None and target <= at:
            back.append((target, at))
    return hot_loop(code, back, lambda i: i[0].startswith("fma.rn.f32"), lambda i: bool(re.match(r"ld\.\w*.*v4\.[fub]32", i[0])))


def machine_loop(lines):
    """Of nvdisasm's output: lines /*0010*/ OPERATION ... ; and labels .L_x_1:"""
    code, labels, back = [], {}, []
    for line in lines:
        label = re.match(r"\s*(\.L_x_\w+):", line)
        instruction = re.match(r"\s+/\*[0-9a-f]+\*/\s+(?:\{\s*)?(?:@!?U?P\w+\s+)?([A-Z][\w.]*)(.*);", line)
        if label:
            labels[label.group(1)] = len(code)
        elif instruction:
            code.append((instruction.group(1), instruction.group(2)))
    # behind the last exit lies what few warps come to, from anywhere and back to there
    exits = [at for at, (operation, _) in enumerate(code) if operation.startswith("EXIT")]
    for at, (operation, text) in enumerate(code[:exits[-1] if exits else len(code)]):
        target = re.search(r"\.L_x_\w+", text)
        if operation.startswith("BRA") and target and labels.get(target.group(), at) < at:
            back.append((labels[target.group()], at))
    return len(code), hot_loop(code, back, lambda i: i[0].startswith("FFMA"), lambda i: bool(re.match(r"LD[GS].*\.128", i[0])))


def lanes_per_edge(name):
    """Samples of an edge that a lane multiplies: four, or two or one of a half or a quarter of a tile."""
    samples = re.search(r"PanelOf<\d+u, \d+u, (\d+)u>", name)
    return int(samples.group(1)) // 32 if samples else 4


def loop_text(name, loop):
    if loop is None:
        return "-"
    edges = loop.fma / lanes_per_edge(name)
    return f"{loop.instructions} {loop.fma} {loop.instructions / edges:.1f} {loop.in_flight}"


def warps_held(architecture, registers, shared, threads):
    """Warps of the kernel that a multiprocessor holds, and what it has not more of."""
    warps, blocks, shared_kib = MULTIPROCESSOR[architecture]
    own = -(-threads // 32)
    limits = {"warps": warps // own, "blocks": blocks}
    limits["registers"] = REGISTERS // ((registers + 7) // 8 * 8 * 32) // own
    limits["shared"] = shared_kib * 1024 // (shared + 1024) if shared else blocks
    limit = min(limits, key=limits.get)
    return limits[limit] * own, limit


def resources(log):
    """{architecture: {kernel: (registers, shared bytes)}} of what ptxas -v said."""
    found = collections.defaultdict(dict)
    for part in log.split("Compiling entry function '")[1:]:
        name, architecture = re.match(r"(\w+)' for 'sm_(\d+)", part).groups()
        used = re.search(r"Used (\d+) registers", part)
        shared = re.search(r"(\d+) bytes smem", part)
        found[int(architecture)][name] = (int(used.group(1)), int(shared.group(1)) if shared else 0)
    return found


def costs(ptx, log):
    """The table's lines, and what no kernel may have. ptx: {architecture: text}."""
    faults = []
    rows = {}
    of_architecture = resources(log)
    threads = {}
    for architecture, text in sorted(ptx.items()):
        for name, lines in ptx_kernels(text):
            if any(".local " in line for line in lines):
                faults.append(f"sm_{architecture}: {name} keeps an array in local memory: an index that is no constant")
            threads[name] = int(re.search(r"\.maxntid (\d+)", "\n".join(lines)).group(1))
            if architecture == 90:
                rolled = sum("nounroll" in line for line in lines)
                rows[name] = f"{len(instructions_of_ptx(lines)[0])} {rolled} {{}}", ptx_loop(lines)
    lines = []
    for name, plain in short_names(sorted(rows)):
        row, loop = rows[name]
        held = []
        for architecture, kernels in sorted(of_architecture.items()):
            registers, shared = kernels[name]
            warps, limit = warps_held(architecture, registers, shared, threads[name])
            held.append(f"{architecture}:{registers}/{warps}{limit[0]}")
        lines.append(f"{plain} | {row.format(loop_text(plain, loop))} | {' '.join(held)}")
    return sorted(lines), faults


def machine_costs(text):
    found = []
    parts = re.split(r"^\.text\.(\w+):", text, flags=re.M)
    for name, body in zip(parts[1::2], parts[2::2]):
        count, loop = machine_loop(body.splitlines())
        found.append((name, count, loop))
    plain = dict(short_names([name for name, _, _ in found]))
    return sorted(f"{plain[name]} | {count} {loop_text(plain[name], loop)}" for name, count, loop in found)


def main():
    folder, log = Path(sys.argv[1]), Path(sys.argv[2])
    if len(sys.argv) > 3:
        cubin = next(folder.glob("*.compute_90*.cubin"))
        text = subprocess.run([sys.argv[3], "-c", cubin], text=True, capture_output=True, check=True).stdout
        print("# machine code for sm_90: kernel | instructions; of the hot loop: instructions, FFMA, an edge, loads in a row")
        print("\n".join(machine_costs(text)))
        return 0
    ptx = {int(re.search(r"compute_(\d+)", path.name).group(1)): path.read_text() for path in folder.glob("*.ptx")}
    lines, faults = costs(ptx, log.read_text())
    print("# kernel | PTX instructions, loops kept rolled; of the hot loop: instructions, fma, an edge, loads in flight | "
          "architecture:registers/warps a multiprocessor and what limits them (warps, blocks, registers, shared)")
    print("\n".join(lines))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
