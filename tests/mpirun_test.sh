#!/bin/sh
# mpirun_test.sh RANKS CODE PROGRAM [ARGUMENT...]: passes when the ranks end with CODE; 77, "not run", without mpirun.
ranks=$1 expected=$2
shift 2
command -v mpirun > /dev/null || { echo "NOT RUN: mpirun is not there"; exit 77; }
# Containers forbid the single-copy mechanism, and the machine may have fewer cores than ranks.
mpirun -np "$ranks" --oversubscribe --allow-run-as-root --bind-to none \
  --mca btl_vader_single_copy_mechanism none --mca mpi_yield_when_idle 1 "$@"
code=$?
[ "$code" -eq "$expected" ] || { echo "exit code $code, expected $expected"; exit 1; }
