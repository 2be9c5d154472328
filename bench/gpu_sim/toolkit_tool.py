#!/usr/bin/env python3
"""Stands in the simulator's toolkit folder for cuobjdump and ptxas, by the name it is called as; the real ones lie beside it
as NAME.real. PTX loses what the simulator misreads: second results of shuffles, which nvcc writes and never reads, numbers
from 2^31 on in 64-bit operations, and leading zeros counted by bfind.shiftamt. A load whose values go straight into shared
memory is marked, as what was an asynchronous copy. ptxas counts the registers of sm_$SIM_ARCHITECTURE (90) and is made to
speak as it did when the simulator was written."""
import os
import pathlib
import re
import subprocess
import sys


def readable(ptx):
    lines = []
    for line in ptx.splitlines():
        stored = re.match(r"^st\.shared\.v4\.u32 \[.*\], (\{.*\});$", line)
        if stored and lines and lines[-1].startswith(f"ld.global.v4.u32 {stored[1]},"):
            lines[-1] = lines[-1].replace("ld.global.", "ld.global.lu.", 1)
        line = re.sub(r"^(shfl\.sync\.\w+\.b32 %r\d+)\|%p\d+,", r"\1,", line)
        number = re.match(r"^((?:@\S+ )?\w+(?:\.\w+)*\.[sub]64 .*, )(\d+);$", line)
        if number and 2**31 <= int(number[2]) < 2**32:
            lines += [f"mov.u32 %r_low, {int(number[2]) - 2**32};", "cvt.u64.u32 %rd_low, %r_low;"]
            line = number[1] + "%rd_low;"
        zeros = re.match(r"^bfind\.shiftamt\.u32 (%r\d+), (%r\d+);$", line)
        if zeros:  # of 0 it makes -1
            lines += [f"setp.eq.u32 %p_none, {zeros[2]}, 0;", f"clz.b32 {zeros[1]}, {zeros[2]};"]
            line = f"selp.b32 {zeros[1]}, -1, {zeros[1]}, %p_none;"
        lines.append(line)
        if line == "{":
            lines += [".reg .b32 %r_low;", ".reg .b64 %rd_low;", ".reg .pred %p_none;"]
    return "\n".join(lines) + "\n"


def main():
    me, arguments = pathlib.Path(sys.argv[0]), sys.argv[1:]
    if me.name == "ptxas":
        architecture = os.environ.get("SIM_ARCHITECTURE", "90")
        arguments = [re.sub(r"^--gpu-name=.*", "--gpu-name=sm_" + architecture, each) for each in arguments]
    done = subprocess.run([str(me.parent / (me.name + ".real"))] + arguments, stderr=subprocess.PIPE, text=True, check=False)
    if me.name == "ptxas":
        for line in done.stderr.splitlines():
            if re.search("Compiling entry|Used|gmem", line):
                print(re.sub(r", (used \d+ barriers?|\d+ bytes cumulative stack size)", "", line), file=sys.stderr)
    elif arguments[0] == "-xptx" and done.returncode == 0:
        file = pathlib.Path(arguments[1])
        file.write_text(readable(file.read_text()))
    sys.exit(done.returncode)


main()
