"""Tokens a second of one rank with both cores and of two ranks with one core each (dp with zero 0-3, tp), beside torch's DDP over gloo;
with zero 2 and 3 with and without parallel.overlap.

    python tests/bench/scaling.py BENCH build/cpu/bin/lathe [15M fp32] ...

BENCH: the folder with the peers' ddp.py and mkmodel.py. A step has 8 rows of 512 tokens of 15M, 4 of 60M, shared by the ranks. Every line says what
other processes used meanwhile: over 0.1 cores it is void. Needs torch and transformers, and mpirun.
"""
import json, os, statistics, subprocess, sys, tempfile

from train_peers import busy

ROWS = {"15M": 8, "60M": 4, "125M": 2}
SEQ, WARMUP, STEPS = 512, 3, 5
LAYOUTS = ["one rank", "dp 2 zero 0", "dp 2 zero 1", "dp 2 zero 2", "dp 2 zero 2 overlap", "dp 2 zero 3", "dp 2 zero 3 overlap", "tp 2"]


def command_of(lathe, layout):
    words = layout.split()
    if layout == "one rank":
        return [lathe, "train"], [], 1
    launch = ["mpirun", "--allow-run-as-root", "--bind-to", "none", "-np", "2", lathe, "train"]
    if words[0] == "tp":
        return launch, ["tp=2"], 1
    overlap = "true" if words[-1] == "overlap" else "false"
    return launch, [f"zero={words[3]}", f"overlap={overlap}"], 2


def ours(lathe, model, data, dtype, rows, layout):
    launch, options, dp = command_of(lathe, layout)
    with tempfile.TemporaryDirectory() as folder:
        command = launch + ["recipe=sft", f"output_dir={folder}/run", f"model_name_or_path={model}", f"data.train={data}", f"dtype={dtype}",
                            f"max_length={SEQ}", "packing=wrapped", "assistant_only_loss=false", f"data.cache_dir={folder}/cache",
                            f"per_device_train_batch_size={rows // dp}", f"max_steps={WARMUP + STEPS}", "logging_steps=1", "save_steps=0",
                            "learning_rate=2e-5"] + options
        before = busy()
        out = subprocess.run(command, capture_output=True, text=True)
        if out.returncode:
            sys.exit(out.stdout[-1000:] + out.stderr[-1000:])
        lines = [json.loads(line) for line in open(f"{folder}/run/metrics.jsonl")]
        steps = [line for line in lines if "tokens_per_second" in line][WARMUP:]
    return statistics.median(s["tokens_per_second"] for s in steps), (busy() - before) / lines[-1]["train_runtime"]


def main():
    bench, lathe = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    cases = [sys.argv[i:i + 2] for i in range(3, len(sys.argv), 2)] or [["15M", "fp32"], ["60M", "fp32"]]
    sys.path.insert(0, bench)
    os.chdir(bench)
    import common
    for size, dtype in cases:
        model, data = common.model_dir(size), str(common.DATA / "sft" / "gsm8k_train.jsonl")
        out = subprocess.run([sys.executable, "ddp.py", "--model", size, "--mb", str(ROWS[size]), "--malloc", "keep", "--dtype",
                              "autocast" if dtype == "bf16" else dtype], capture_output=True, text=True)
        if out.returncode:
            sys.exit(out.stderr[-2000:])
        peer = json.loads(out.stdout.strip().splitlines()[-1])
        ddp = peer["ddp_gloo"]["tok_per_s"]
        print(f"{size} {dtype}  torch: one process {peer['one_process']['tok_per_s']} tok/s, DDP over gloo {ddp} = {peer['ddp_over_one']} x", flush=True)
        one = None
        for layout in LAYOUTS:
            speed, others = ours(lathe, model, data, dtype, ROWS[size], layout)
            one = one or speed
            print(f"{size} {dtype}  {layout:19} {speed:8.1f} tok/s = {speed / one:.2f} x one rank, {speed / ddp:.2f} x DDP   other cores {others:.2f}",
                  flush=True)


if __name__ == "__main__":
    main()
