"""Generation of lathe beside transformers: random prompts of 32 tokens, 64 new ones, greedy and sampled, one after the other.

    python tests/bench/generate_peers.py BENCH build/cpu/bin/bench_generate [60M fp32 1,8,32] ...

BENCH: the folder with the peers' generate.py and mkmodel.py. Each case is SIZE DTYPE BATCHES. Prints new tokens/s with the prompt's time in it, the
ratio, and what other processes used while the peer ran: over 0.1 cores the line is void.
"""
import json, os, subprocess, sys


def main():
    bench, ours = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    cases = [sys.argv[i:i + 3] for i in range(3, len(sys.argv), 3)] or [["60M", "fp32", "1,8,32"]]
    sys.path.insert(0, bench)
    os.chdir(bench)
    import common
    for size, dtype, batches in cases:
        out = subprocess.run([ours, common.model_dir(size), dtype, batches], capture_output=True, text=True,
                             env={**os.environ, "OMP_NUM_THREADS": "2"})
        if out.returncode:
            sys.exit(out.stderr[-1000:])
        speeds = dict(line.split() for line in out.stdout.splitlines())
        out = subprocess.run([sys.executable, "generate.py", "--model", size, "--dtype", dtype, "--batches", batches, "--malloc", "keep"],
                             cwd=bench, capture_output=True, text=True)
        if out.returncode:
            sys.exit(out.stderr[-1000:])
        line = json.loads(out.stdout.strip().splitlines()[-1])
        for name, peer in line["gen"].items():
            mine = float(speeds[name])
            print(f"{size:5} {dtype} {name:12} lathe {mine:8.1f} tok/s   transformers {peer['tok_per_s']:8.1f}   ratio {mine / peer['tok_per_s']:.2f} x"
                  f"   other cores {line['other_cores']:.2f}", flush=True)


main()
