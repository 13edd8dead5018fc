"""Training steps of lathe beside a bare transformers loop (and PEFT, TRL): same model, data, dtype and threads, one after the other.

    python tests/bench/train_peers.py BENCH build/cpu/bin/lathe [60M fp32 full] ...

BENCH: the folder with the peers' sft.py, dpo.py and mkmodel.py. Each case is SIZE DTYPE KIND. Kinds: full, lora, trl; dpo: two pairs a step against TRL's
DPOTrainer, with a reference model that runs along; dpo_once: ours has computed the reference before the first step. Needs torch, transformers, peft,
trl for what is measured. Prints medians of tokens/s, the ratio, the share of the GEMM speed that lathe itself measured, peak memory, and what other
processes used meanwhile: over 0.1 cores the line is void. For dpo both are given the same 24 pairs, 2 steps to warm up and 10 that count, and the ratio is
that of pairs/s: a prompt is one run of tokens to lathe and two to the peer, so tokens/s (which each counts as it processes them) do not compare.
"""
import json, os, resource, statistics, subprocess, sys, tempfile

MICRO = {"1M": 8, "15M": 8, "60M": 4, "125M": 2, "0.5B": 1}
SEQ, WARMUP, STEPS = 512, 3, 5
PAIRS, DPO_WARMUP, DPO_STEPS = 2, 2, 10  # pairs of a step


def some_pairs(path, model):
    """As many as the steps take, from all of the file, of those whose prompt leaves room for an answer."""
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(model)
    fits = lambda row: sum(len(tokenizer.encode(m["value"])) + 8 for m in row["conversations"]) < SEQ
    rows, count = [row for row in json.load(open(path)) if fits(row)], PAIRS * (DPO_WARMUP + DPO_STEPS)
    file = tempfile.NamedTemporaryFile("w", suffix=".json", delete=False)
    json.dump([rows[i * len(rows) // count] for i in range(count)], file)
    file.close()
    return file.name


def peer(bench, size, dtype, kind, micro, data):
    if kind.startswith("dpo"):
        command = [sys.executable, "dpo.py", "--model", size, "--data", data, "--mb", str(PAIRS), "--seq", str(SEQ), "--malloc", "keep", "--dtype",
                   "autocast" if dtype == "bf16" else dtype, "--warmup", str(DPO_WARMUP), "--steps", str(DPO_STEPS)]
        line = last_line(command, bench)
        return {**line, "tok_per_s_med": line["tok_per_s"]}
    command = [sys.executable, "sft.py", "--model", size, "--mb", str(micro), "--seq", str(SEQ), "--malloc", "keep",
               "--dtype", "autocast" if dtype == "bf16" else dtype, "--warmup", str(WARMUP), "--steps", str(STEPS)]
    command += {"full": [], "lora": ["--lora"], "trl": ["--engine", "trl", "--packing"]}[kind]
    return last_line(command, bench)


def last_line(command, bench):
    out = subprocess.run(command, cwd=bench, capture_output=True, text=True)
    if out.returncode:
        sys.exit(out.stderr[-2000:])
    return json.loads(out.stdout.strip().splitlines()[-1])


def busy():
    fields = list(map(int, open("/proc/stat").readline().split()[1:]))
    times = os.times()
    return (sum(fields[:8]) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK") - times.children_user - times.children_system


def ours(lathe, model, data, dtype, kind, micro):
    with tempfile.TemporaryDirectory() as folder:
        command = [lathe, "train", "recipe=sft", f"output_dir={folder}/run", f"model_name_or_path={model}", f"data.train={data}",
                   f"dtype={dtype}", f"max_length={SEQ}", "packing=wrapped", "assistant_only_loss=false", f"data.cache_dir={folder}/cache",
                   f"per_device_train_batch_size={micro}", f"max_steps={WARMUP + STEPS}", "logging_steps=1", "save_steps=0", "learning_rate=2e-5"]
        if kind == "lora":
            command += ["lora_r=16", "lora_alpha=32", "lora_target_modules=all-linear"]
        if kind.startswith("dpo"):
            command += ["recipe=dpo", "packing=bfd", "assistant_only_loss=true", f"per_device_train_batch_size={PAIRS}",
                        f"max_steps={DPO_WARMUP + DPO_STEPS}",
                        f"dpo.precompute_ref_log_probs={str(kind == 'dpo_once').lower()}",
                        "data.max_all_masked=1"]
        before = busy()
        out = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "2"})
        if out.returncode:
            sys.exit(out.stdout[-1000:] + out.stderr[-1000:])
        rows = [json.loads(line) for line in open(f"{folder}/run/metrics.jsonl")]
        seconds = rows[-1]["train_runtime"]
        steps = [row for row in rows if "tokens_per_second" in row][DPO_WARMUP if kind.startswith("dpo") else WARMUP:]
    speed = statistics.median(r["tokens_per_second"] for r in steps)
    if kind.startswith("dpo"):  # documents differ in length: the mean over the steps, as the peer's
        seconds_of_steps = sum(row["step_seconds"] for row in steps)
        tokens = sum(row["step_seconds"] * row["tokens_per_second"] for row in steps)
        speed = PAIRS * len(steps) / seconds_of_steps
        print(f"lathe dpo: {speed:.3f} pairs/s of {tokens / len(steps) / PAIRS:.0f} tokens, each processed once")
    return (speed, statistics.median(r["gemm_share"] for r in steps),
            max(r["memory_gib"] for r in steps), (busy() - before) / seconds)


def main():
    bench, lathe = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    cases = [sys.argv[i:i + 3] for i in range(3, len(sys.argv), 3)] or [["60M", "fp32", "full"], ["125M", "fp32", "full"]]
    sys.path.insert(0, bench)
    os.chdir(bench)
    import common
    for size, dtype, kind in cases:
        model = common.model_dir(size)
        data = str(common.DATA / ("preference/dpo_en.json" if kind.startswith("dpo") else "sft/gsm8k_train.jsonl"))
        if kind.startswith("dpo"):
            data = some_pairs(data, model)
        speed, share, memory, others = ours(lathe, model, data, dtype, kind, MICRO[size])
        line = peer(bench, size, dtype, kind, MICRO[size], data)
        unit, of_peer = "tok/s", line["tok_per_s_med"]
        if kind.startswith("dpo"):
            os.remove(data)
            unit, of_peer = "pairs/s", line["pairs_per_s"]
            print(f"peer dpo: {of_peer:.3f} pairs/s of {line['tok_per_s_med'] / of_peer:.0f} tokens")
        print(f"{size:5} {dtype} {kind:5} lathe {speed:8.4g} {unit}  gemm share {100 * share:3.0f} %  memory {memory:.2f} GiB   "
              f"peer {of_peer:8.4g} {unit}  {line['peak_rss_mb'] / 1024:.2f} GiB   ratio {speed / of_peer:.2f} x   "
              f"other cores {max(0, others):.2f}, {line.get('other_cores', 0):.2f}", flush=True)


if __name__ == "__main__":
    main()
