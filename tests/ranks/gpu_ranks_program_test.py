#!/usr/bin/env python3
"""The program as several processes with a GPU each, as torchrun and as mpirun start them: the same files as one process
writes, and how jobs end. The GPUs are the host's CPU, NCCL is a stand-in (tests/cuda_on_host).

usage: gpu_ranks_program_test.py PROGRAM MODULE_FOLDER [--mpirun MPIRUN] [CASE...]
Cases: see the functions case_*; without any, those of every change (QUICK). What needs mpirun is left out where there is
none, or fails if ESPALIER_REQUIRE_MPI=1.
"""
import argparse
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from ranks_program_test import Launcher, expect_equal, run_cases

QUICK = ["equal", "mpi", "refused", "alone_in_a_graph", "stuck", "killed"]


def free_port():
    """A port whose successor is free too: torchrun keeps the first."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
                return port
            except OSError:
                continue


class Test:
    def __init__(self, program, modules, mpirun):
        self.program = program
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="espalier-gpu-ranks-"))
        self.launcher = Launcher(mpirun) if mpirun else None
        env = dict(self.launcher.env if mpirun else os.environ)
        for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "NCCL_COMM_ID", "CUDA_ON_HOST"):
            env.pop(name, None)
        self.env = dict(env, ESPALIER_MODULE_PATH=modules, OMP_NUM_THREADS="1", NCCL_ON_HOST_TIMEOUT="60")
        self.runs = 0

    def options(self, *more):
        return ["train", "--backend", "cuda", "--dataset", "synthetic", "--layers", "784-24-16-10", "--epsilon", "2", "--train-samples", "560",
                "--test-samples", "60", "--batch", "400", "--epochs", "2", "--seed", "3", "--threads", "1",
                "--checkpoint-every", "1", "--progress", "none", *more]

    def place(self):
        self.runs += 1
        return self.folder / f"run{self.runs}"

    def alone(self, *more):
        folder = self.place()
        done = subprocess.run([self.program, *self.options("--out", str(folder), *more)], env=self.env, capture_output=True,
                              text=True, cwd=self.folder, timeout=300)
        assert done.returncode == 0, done.stderr
        return folder

    def start(self, ranks, arguments, per_rank=lambda rank: {}):
        """As torchrun does: variables for each process, and nothing else."""
        port = free_port()
        return [subprocess.Popen([self.program, *arguments(rank)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 cwd=self.folder, env=dict(self.env, WORLD_SIZE=str(ranks), RANK=str(rank),
                                                           LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(ranks),
                                                           MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), **per_rank(rank)))
                for rank in range(ranks)]

    def finish(self, jobs, limit=240):
        """(code, stderr) of each; nobody is ended by others here."""
        ended = []
        try:
            for job in jobs:
                _, err = job.communicate(timeout=limit)
                ended.append((job.returncode, err))
        except subprocess.TimeoutExpired:
            raise AssertionError("hangs: " + " ".join(jobs[0].args)) from None
        finally:
            for job in jobs:
                if job.poll() is None:
                    job.kill()
        return ended

    def run(self, ranks, *more, per_rank=lambda rank: {}):
        folder = self.place()
        ended = self.finish(self.start(ranks, lambda rank: self.options("--out", str(folder), *more), per_rank))
        assert all(code == 0 for code, _ in ended), ended
        return folder

    def expect_refused(self, ended, code, text):
        assert all(each == code for each, _ in ended), ended
        assert text in ended[0][1], ended

    # ---- cases: batches of four tiles of 128 samples, the last one of two

    def case_equal(self):
        alone = self.alone()
        for ranks in (2, 4):  # two GPUs for four: the third rank has the first one's number, on a machine of its own
            expect_equal(alone, self.run(ranks, per_rank=lambda rank: {"CUDA_ON_HOST": "devices=2"}))
        adam = ["--optimizer", "adam", "--dropout", "0.3", "--evolve", "steps(n=2)"]
        alone = self.alone(*adam)
        expect_equal(alone, self.run(2, *adam, "--graph", "off"))
        expect_equal(alone, self.run(2, *adam))
        wide = ["--batch", "900", "--train-samples", "900", "--epochs", "1"]  # of so many ranks each adds up a piece
        expect_equal(self.alone(*wide), self.run(8, *wide))

    def case_matrix(self):
        kinds = {"sgd": ["--optimizer", "sgd", "--activation", "srelu"],
                 "growth": ["--grow", "gradient", "--prune", "magnitude"],
                 "dense": ["--topology", "dense", "--layers", "784-30-10", "--epochs", "2"],  # products by cuBLAS
                 "coo": ["--spmm", "coo"], "panel": ["--spmm", "panel"],
                 "dropout, srelu": ["--dropout", "0.3", "--activation", "srelu"],
                 "dropout, coo": ["--dropout", "0.3", "--spmm", "coo", "--activation", "tanh"],
                 "dropout, panel": ["--dropout", "0.3", "--spmm", "panel", "--grow", "gradient"],
                 "dropout, dense": ["--dropout", "0.3", "--topology", "dense", "--layers", "784-30-20-10"],
                 "one each": ["--batch", "256", "--train-samples", "300"]}
        for kind, more in kinds.items():
            alone = self.alone(*more)
            for ranks in (2, 4):
                if kind == "one each" and ranks == 4:
                    continue
                expect_equal(alone, self.run(ranks, *more))
        expect_equal(self.run(3), self.run(3))
        large = ["--layers", "784-600-10", "--epsilon", "60", "--train-samples", "200", "--batch", "200", "--epochs", "1"]
        expect_equal(self.alone(*large), self.run(2, *large))  # more than one message to everybody holds

    def case_mpi(self):
        if self.launcher is None:
            print("mpi: left out, there is no mpirun")
            return
        alone = self.alone()
        folder = self.place()
        words = [*self.launcher.words(2), self.program, *self.options("--out", str(folder), "--json")]
        done = subprocess.run(words, env=self.env, capture_output=True, text=True, cwd=self.folder, timeout=240)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count('"test_accuracy"') == 1, done.stdout  # rank 0 alone speaks
        expect_equal(alone, folder)

    def case_refused(self):
        one_gpu = self.start(2, lambda rank: self.options(), lambda rank: {"CUDA_ON_HOST": "shared_by_processes=1"})
        self.expect_refused(self.finish(one_gpu), 6, "ranks 0 and 1 have one GPU")
        for more, code, text in ((["--batch", "128"], 2, "batch 128 is 1 tile of 128 samples"),
                                 (["--spmm", "cusparse"], 2, "spmm: several processes multiply by"),
                                 (["--ranks", "3"], 2, "torchrun started 2")):
            ended = self.finish(self.start(2, lambda rank: self.options("--out", str(self.folder / "refused"), *more)))
            self.expect_refused(ended, code, text)
        rbm = ["train", "--model", "rbm", "--layers", "784-20", "--dataset", "synthetic", "--backend", "cuda"]
        self.expect_refused(self.finish(self.start(2, lambda rank: rbm)), 2, "model: several processes train a restricted")

    def case_alone_in_a_graph(self):
        """A rank that has no memory for a graph launches one by one, the other replays: said, no hang."""
        ended = self.finish(self.start(2, lambda rank: self.options("--out", str(self.folder / "graph")),
                                       lambda rank: {"CUDA_ON_HOST": f"graph_error={2 * rank}"}))
        assert all(code != 0 for code, _ in ended), ended
        assert "rank 0 asks for" in ended[0][1] and "from a graph" in ended[0][1], ended

    def case_stuck(self):
        """Work that never comes to its end, as NCCL's where a rank stands still."""
        ended = self.finish(self.start(2, lambda rank: self.options("--out", str(self.folder / "stuck"), "--rank-timeout", "1"),
                                       lambda rank: {"CUDA_ON_HOST": "stuck_after=12"}))
        self.expect_refused(ended, 8, "another rank did not answer for 1 seconds (--rank-timeout)")

    def case_killed(self):
        folder = self.place()
        arguments = lambda rank: self.options("--out", str(folder), "--epochs", "100000")
        jobs = self.start(2, arguments)
        end = time.monotonic() + 60
        while not list(folder.glob("checkpoints/*.safetensors")):
            assert time.monotonic() < end and all(job.poll() is None for job in jobs), self.finish(jobs, 1)
            time.sleep(0.02)
        jobs[1].send_signal(signal.SIGKILL)
        ended = self.finish(jobs, 60)
        assert ended[0][0] == 8 and "a rank is gone" in ended[0][1], ended
        assert list(folder.glob("checkpoints/*.safetensors"))
        for job in jobs:
            assert job.poll() is not None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("modules")
    parser.add_argument("--mpirun", default=shutil.which("mpirun.openmpi") or shutil.which("mpirun"))
    parser.add_argument("cases", nargs="*", default=QUICK)
    arguments = parser.parse_intermixed_args()
    has_mpi = list(pathlib.Path(arguments.program).resolve().parent.glob("libespalier_*mpi*.so"))
    mpirun = arguments.mpirun if has_mpi else None
    if not mpirun and os.environ.get("ESPALIER_REQUIRE_MPI") == "1":
        print("there is no mpirun, or no module for MPI")
        return 1
    test = Test(os.path.abspath(arguments.program), os.path.abspath(arguments.modules), mpirun)
    run_cases(test, arguments.cases)
    return 0


if __name__ == "__main__":
    sys.exit(main())
