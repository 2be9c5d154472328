#!/usr/bin/env python3
"""The program as several processes under mpirun: the same files as one process writes, and how jobs end.

usage: ranks_program_test.py PROGRAM [--mpirun MPIRUN] [--kills N] [CASE...]
Cases: see the functions case_*; without any, those of every change. Ends with 77, which is a skip, where there is no mpirun,
or with 1 if ESPALIER_REQUIRE_MPI=1.
"""
import argparse
import contextlib
import csv
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

QUICK = ["equal", "refused", "environment", "stopped", "killed", "silent"]


class Launcher:
    """mpirun of one MPI library."""

    def __init__(self, mpirun):
        self.mpirun = mpirun
        version = subprocess.run([mpirun, "--version"], capture_output=True, text=True).stdout
        self.is_mpich = "HYDRA" in version
        self.version = version.strip().splitlines()[0] if version.strip() else mpirun
        lib = pathlib.Path(mpirun).resolve().parent.parent / "lib"
        self.env = dict(os.environ)
        for name in list(self.env):
            if name.startswith(("OMPI_", "PMI", "SLURM_")):
                del self.env[name]
        self.env.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", PRTE_ALLOW_RUN_AS_ROOT="1",
                        PRTE_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_btl_vader_single_copy_mechanism="none",
                        OMPI_MCA_btl_sm_single_copy_mechanism="none", OMP_NUM_THREADS="1")
        if list(lib.glob("libmpi.so.*")):  # a package of Python's, which the system's loader does not know
            self.env["LD_LIBRARY_PATH"] = str(lib)

    def words(self, ranks):
        options = [] if self.is_mpich else ["--oversubscribe", "--bind-to", "none"]
        return [self.mpirun, *options, "-n", str(ranks)]


class Test:
    def __init__(self, program, launcher, kills):
        self.program = program
        self.launcher = launcher
        self.kills = kills
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="espalier-ranks-"))
        self.random = random.Random(5)
        self.runs = 0

    def options(self, *more, epochs=4):
        return ["train", "--dataset", "synthetic", "--layers", "784-60-40-10", "--train-samples", "1800",
                "--test-samples", "300", "--batch", "256", "--epochs", str(epochs), "--seed", "3", "--threads", "1",
                "--checkpoint-every", "1", "--progress", "none", *more]

    def place(self):
        self.runs += 1
        return self.folder / f"run{self.runs}"

    def start(self, ranks, arguments, **keywords):
        words = self.launcher.words(ranks) if ranks else []
        env = dict(self.launcher.env, **keywords.pop("env", {}))
        return subprocess.Popen([*words, self.program, *arguments], env=env, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, cwd=self.folder, **keywords)

    def finish(self, job, limit=120):
        try:
            out, err = job.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            job.kill()
            raise AssertionError("hangs: " + " ".join(job.args)) from None
        return job.returncode, out, err

    def run(self, ranks, arguments, **keywords):
        return self.finish(self.start(ranks, arguments, **keywords))

    def processes(self, folder):
        """Those of the job that trains into `folder`, by rank."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                environ = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if not words[0].endswith(b"espalier") or str(folder).encode() not in words:
                continue
            for each in environ:
                name, _, value = each.partition(b"=")
                if name in (b"OMPI_COMM_WORLD_RANK", b"PMI_RANK"):
                    found[int(value)] = int(entry.name)
        return found

    def wait_for(self, what, condition, limit=60):
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, f"{what}: not within {limit} seconds"
            time.sleep(0.01)

    def started(self, ranks, folder, epochs):
        """A job that has written its first checkpoint."""
        job = self.start(ranks, self.options("--out", str(folder), epochs=epochs))
        self.wait_for("a checkpoint", lambda: list(folder.glob("checkpoints/*.safetensors")) or job.poll() is not None)
        assert job.poll() is None, f"ended early: {job.communicate()}"
        self.wait_for("all ranks", lambda: len(self.processes(folder)) == ranks, 10)
        return job

    def expect_none_left(self, folder):
        self.wait_for("no process left behind", lambda: not self.processes(folder), 5)

    def expect_resumed(self, folder, epochs, unbroken, ranks):
        code, _, err = self.run(ranks, self.options("--out", str(folder), "--resume", "auto", epochs=epochs))
        assert code == 0, err
        expect_equal(unbroken, folder)

    def unbroken(self, epochs):
        folder = self.folder / f"unbroken{epochs}"
        if not folder.exists():
            code, _, err = self.run(0, self.options("--out", str(folder), epochs=epochs))
            assert code == 0, err
        return folder

    # ---- cases

    def case_equal(self):
        alone = self.unbroken(4)
        for ranks in (2, 4):
            folder = self.place()
            code, out, err = self.run(ranks, self.options("--out", str(folder), "--json"))
            assert code == 0, err
            assert out.count('"test_accuracy"') == 1, out  # rank 0 alone speaks
            assert f'"ranks":{ranks}' in out.replace(" ", ""), out
            expect_equal(alone, folder)
        dense = ["--topology", "dense", "--layers", "784-60-10", "--train-samples", "600"]  # products by OpenBLAS
        folders = self.place(), self.place()
        for ranks, folder in zip((0, 2), folders):
            assert self.run(ranks, self.options(*dense, "--out", str(folder), epochs=2))[0] == 0
        expect_equal(*folders)

    def case_matrix(self):
        kinds = {"adam": ["--optimizer", "adam", "--dropout", "0.3"], "steps": ["--evolve", "steps(n=3)"],
                 "dense": ["--topology", "dense", "--layers", "784-60-10"], "srelu": ["--activation", "srelu"],
                 "small": ["--batch", "128"],
                 "large": ["--layers", "784-2000-2000-10", "--epsilon", "300", "--train-samples", "300",
                           "--epochs", "1"],
                 "wide": ["--batch", "512", "--train-samples", "1100"]}
        for kind, more in kinds.items():
            alone = self.place()
            code, _, err = self.run(0, self.options(*more, "--out", str(alone)))
            assert code == 0, (kind, err)
            for ranks in (1, 2, 4):
                for threads in ("1", "2"):
                    if kind == "small" and ranks == 4:
                        continue
                    folder = self.place()
                    code, _, err = self.run(ranks, self.options(*more, "--out", str(folder), "--threads", threads))
                    assert code == 0, (kind, ranks, threads, err)
                    expect_equal(alone, folder)
        first, second = self.place(), self.place()
        for folder in (first, second):
            assert self.run(3, self.options("--out", str(folder)))[0] == 0
        expect_equal(first, second)

    def expect(self, outcome, code, *parts):
        got, _, err = outcome
        assert got == code, f"expected code {code}, got {got}: {err}"
        for part in parts:
            assert part in err, f"expected '{part}' in: {err}"

    def of_two(self, first, second):
        """Rank 0 with `first` and rank 1 with `second` among the options."""
        words = [*self.launcher.words(1), self.program, *self.options(*first), ":"]
        words += ["-n", "1", self.program, *self.options(*second)]
        return self.finish(subprocess.Popen(words, env=self.launcher.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                            text=True, cwd=self.folder))

    def case_refused(self):
        out = ["--out", str(self.place())]
        self.expect(self.of_two(out, [*out, "--seed", "4"]), 2, "rank 1 on ", "has other options than rank 0")
        self.expect(self.of_two(out, [*out, "--dataset", "csv:/nowhere.csv,/nowhere.csv"]), 3, "rank 1 on ", "/nowhere.csv")
        self.expect(self.run(2, self.options(*out, "--batch", "64")), 2, "batch 64 is 1 tile of 64 samples")
        self.expect(self.run(2, self.options(*out, "--ranks", "3")), 2, "ranks: 3 are asked for")
        self.expect(self.run(2, self.options("--out", "/proc/nowhere")), 7)
        self.expect(self.run(2, self.options(*out, "--backend", "cuda")), 6, "the CUDA backend cannot be used")
        self.expect(self.run(2, self.options(*out, "--learning-rate", "1e6")), 5, "the loss is")
        assert not pathlib.Path(out[1], "results.json").exists()

    def case_environment(self):
        options = lambda *more: self.options("--out", str(self.place()), *more, epochs=1)
        self.expect(self.run(0, options("--ranks", "2")), 2, "this process was started alone")
        self.expect(self.run(0, options("--ranks", "many")), 2, "expected auto, off or a number")
        self.expect(self.run(0, options(), env={"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}), 0)
        torchrun = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost"}
        self.expect(self.run(0, options(), env=torchrun), 6, "torchrun started 2 processes", "--ranks off")
        step = {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2"}
        self.expect(self.run(0, options(), env=step), 6, "srun started 2 processes", "--mpi=pmix")
        self.expect(self.run(0, options("--ranks", "off"), env=step), 0)
        apart = self.folder / "apart"
        apart.mkdir()
        shutil.copy(self.program, apart / "espalier")  # without the modules beside it
        job = subprocess.run([apart / "espalier", *options()], env=dict(self.launcher.env, OMPI_COMM_WORLD_SIZE="2"),
                             capture_output=True, text=True)
        self.expect((job.returncode, job.stdout, job.stderr), 6, "there is no libespalier_openmpi.so")

    def case_doctor(self):
        code, out, err = self.run(2, ["doctor"])
        assert code == 0, err
        assert out.count("CPU      ") == 1 and "rank 1" in out, out

    def case_stopped(self):
        epochs = 50
        for whom in ("launcher", "rank 1"):
            folder = self.place()
            job = self.started(2, folder, epochs)
            job.send_signal(signal.SIGUSR1) if whom == "launcher" else os.kill(self.processes(folder)[1], signal.SIGUSR1)
            code, _, err = self.finish(job)
            assert code == 75, (whom, code, err)
            self.expect_none_left(folder)
            self.expect_resumed(folder, epochs, self.unbroken(epochs), {"launcher": 0, "rank 1": 4}[whom])

    def case_killed(self):
        epochs = 50
        for i in range(self.kills):
            folder = self.place()
            job = self.started(2, folder, epochs)
            time.sleep(self.random.uniform(0, 0.3))
            victims = self.processes(folder)
            if i % 2 in victims:
                with contextlib.suppress(ProcessLookupError):  # it came to its end just now
                    os.kill(victims[i % 2], signal.SIGKILL)
            code, _, _ = self.finish(job)
            assert code != 0 or (folder / "results.json").exists()
            self.expect_none_left(folder)
            self.expect_resumed(folder, epochs, self.unbroken(epochs), (2, 0, 4)[i % 3])

    def case_silent(self):
        """A rank that stands still is named, and ends with the others."""
        folder = self.place()
        words = self.options("--out", str(folder), "--rank-timeout", "2", epochs=100000)
        job = self.start(2, words)
        self.wait_for("a checkpoint", lambda: list(folder.glob("checkpoints/*.safetensors")))
        os.kill(self.processes(folder)[1], signal.SIGSTOP)
        code, _, err = self.finish(job, 60)
        assert code == 8 and "rank 1 did not answer for 2 seconds" in err, (code, err)
        self.expect_none_left(folder)


def expect_equal(one, other):
    """All that two runs wrote, but for times."""
    for name in ("network.safetensors",):
        assert (one / name).read_bytes() == (other / name).read_bytes(), f"{other / name} differs from {one / name}"
    rows = []
    for folder in (one, other):
        with open(folder / "history.csv", newline="") as file:
            rows.append([{k: v for k, v in row.items() if "second" not in k} for row in csv.DictReader(file)])
    assert rows[0] == rows[1], f"the histories of {one} and {other} differ"
    for path in sorted(one.glob("*.npy")):
        assert path.read_bytes() == (other / path.name).read_bytes(), f"{other / path.name} differs"


def run_cases(test, names):
    """Runs `test`'s functions case_NAME in turn, then removes its folder."""
    try:
        for name in names:
            start = time.monotonic()
            getattr(test, "case_" + name)()
            print(f"{name}: passed, {time.monotonic() - start:.1f} s", flush=True)
    finally:
        shutil.rmtree(test.folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--mpirun", default=shutil.which("mpirun.openmpi") or shutil.which("mpirun"))
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument("cases", nargs="*", default=QUICK)
    arguments = parser.parse_intermixed_args()
    modules = list(pathlib.Path(arguments.program).resolve().parent.glob("libespalier_*mpi*.so"))
    if not arguments.mpirun or not modules:
        print("SKIPPED: there is no", "module for MPI beside the program" if arguments.mpirun else "mpirun here",
              "(scripts/install_packages ranks, and configure anew)")
        return 1 if os.environ.get("ESPALIER_REQUIRE_MPI") == "1" else 77
    test = Test(os.path.abspath(arguments.program), Launcher(arguments.mpirun), arguments.kills)
    print(test.launcher.version)
    run_cases(test, arguments.cases)
    return 0


if __name__ == "__main__":
    sys.exit(main())
