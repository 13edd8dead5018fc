"""What each way to save memory or time brings: one training run per line, each with one setting changed from the line before or from the first.

    python tests/bench/ladder.py build/cpu/bin/lathe MODEL DATA.jsonl

MODEL: a Hugging Face folder (mkmodel.py of the reference material makes one), DATA: conversations or questions and answers. Prints the median of
tokens/s over the last steps, its ratio to the first line, and the peak of the process's memory with the ratio.
"""
import json, os, statistics, subprocess, sys, tempfile

FULL = dict(dtype="fp32", max_length=512, per_device_train_batch_size=2, packing="true")
LADDER = [
    ("one document a row, fp32", dict(packing="false")),
    ("packed", {}),
    ("packed, checkpointing selective", dict(gradient_checkpointing="selective")),
    ("packed, checkpointing on", dict(gradient_checkpointing="true")),
    ("packed, optimiser in the backward", dict(optimizer_in_bwd="true", max_grad_norm=0)),
    ("packed, bf16", dict(dtype="bf16")),
    ("packed, bf16, optimiser in the backward", dict(dtype="bf16", optimizer_in_bwd="true", max_grad_norm=0)),
    ("packed, 8-bit AdamW", dict(optim="adamw_8bit")),
    ("packed, 8-bit AdamW, checkpointing on", dict(optim="adamw_8bit", gradient_checkpointing="true")),
    ("packed, LoRA r 16", dict(lora_r=16, lora_alpha=32, lora_target_modules="all-linear")),
    ("packed, LoRA r 16, checkpointing on", dict(lora_r=16, lora_alpha=32, lora_target_modules="all-linear", gradient_checkpointing="true")),
]


def run(lathe, model, data, settings):
    with tempfile.TemporaryDirectory() as folder:
        values = {**FULL, **settings}
        command = [lathe, "train", "recipe=sft", f"output_dir={folder}/run", f"model_name_or_path={model}", f"data.train={data}",
                   f"data.cache_dir={folder}/cache", "max_steps=8", "logging_steps=1", "save_steps=0"] + [f"{k}={v}" for k, v in values.items()]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        error = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(error[-1000:])
        rows = [json.loads(line) for line in open(f"{folder}/run/metrics.jsonl")]
        rates = [row["tokens_per_second"] for row in rows if "tokens_per_second" in row][3:]
        return statistics.median(rates), usage.ru_maxrss / 2**20


def main():
    lathe, model, data = sys.argv[1:4]
    first = None
    for name, settings in LADDER:
        rate, memory = run(lathe, model, data, settings)
        first = first or (rate, memory)
        print(f"{name:40} {rate:8.1f} tok/s {rate / first[0]:5.2f} x   {memory:5.2f} GiB {memory / first[1]:5.2f} x", flush=True)


main()
