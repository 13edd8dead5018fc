"""Generation of lathe beside transformers, what tests/bench/generate.cpp measures, one after the other.

    python tests/bench/generate_peers.py BENCH build/cpu/bin/bench_generate THREADS [60M fp32 1,8,32 queue,samples] ...

BENCH: the folder with the peers' common.py and mkmodel.py. Each case is SIZE DTYPE BATCHES MORE ("-": nothing). New tokens/s with the prompt's time in it, by
processor time on one thread, by the clock on more, and the ratio. The queue of uneven requests goes to transformers in batches of 32 in its order,
padded on the left, each run to its longest answer; only tokens that were asked for count. Of a prompt's samples both sides are printed as the cost of eight in
that of one.
"""
import json, os, statistics, subprocess, sys, time


class Numbers:
    def __init__(self):
        self.state = 1

    def next(self, begin, end):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return begin + (self.state >> 33) % (end - begin + 1)

    def prompt(self, length, vocabulary):
        return [self.next(10, vocabulary - 10) for _ in range(length)]


def peer(bench, size, dtype, batches, more, threads):
    sys.path.insert(0, bench)
    import common
    import torch
    from transformers import AutoModelForCausalLM
    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(common.model_dir(size), dtype=torch.bfloat16 if dtype == "bf16" else torch.float32).eval()
    vocabulary = model.config.vocab_size
    now = time.process_time if threads == 1 else time.perf_counter
    sampling = dict(do_sample=True, temperature=0.8, top_p=0.95, top_k=50)

    def run(prompts, new, **how):
        width = max(map(len, prompts))
        ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        start = now()
        model.generate(ids, attention_mask=mask, min_new_tokens=new, max_new_tokens=new, pad_token_id=0, **how)
        return now() - start

    def median(work):
        work()
        return statistics.median(work() for _ in range(3))

    out = {}
    with torch.inference_mode():
        for batch in map(int, batches.split(",")) if batches != "-" else []:
            for name, how in ("greedy", dict(do_sample=False)), ("sampled", sampling):
                numbers = Numbers()
                prompts = [numbers.prompt(32, vocabulary) for _ in range(batch)]
                out[f"{name}_b{batch}"] = batch * 64 / median(lambda: run(prompts, 64, **how))
        if "queue" in more:
            numbers, requests = Numbers(), []
            for _ in range(256):
                prompt = numbers.prompt(numbers.next(16, 256), vocabulary)
                requests.append((prompt, numbers.next(8, 128)))
            run([requests[0][0]], 8, do_sample=False)
            seconds = 0
            for i in range(0, 256, 32):
                part = requests[i:i + 32]
                seconds += run([p for p, _ in part], max(n for _, n in part), do_sample=False)
            out["queue"] = sum(n for _, n in requests) / seconds
        if "samples" in more:
            prompt = [Numbers().prompt(512, vocabulary)]
            for n in 1, 8:
                out[f"samples_{n}"] = median(lambda: run(prompt, 64, do_sample=True, top_k=50, num_return_sequences=n))
    print(json.dumps(out))


def main():
    bench, ours, threads = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
    cases = [sys.argv[i:i + 4] for i in range(4, len(sys.argv), 4)] or [["60M", "fp32", "1,8,32", "queue,samples"]]
    sys.path.insert(0, bench)
    import common
    env = {**os.environ, **common.KEEP, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"}

    def output_of(command):
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        if done.returncode:
            sys.exit(done.stderr[-1000:])
        return done.stdout.strip().splitlines()

    for case in cases:
        size, dtype, batches, more = case
        mine = {name: float(value) for name, value in
                map(str.split, output_of([ours, common.model_dir(size), dtype, "" if batches == "-" else batches, more]))}
        theirs = json.loads(output_of([sys.executable, __file__, "--peer", bench, *case, threads])[-1])
        for name, peer_speed in theirs.items():
            if name.startswith("samples"):
                continue
            print(f"{size:5} {dtype} {name:12} lathe {mine[name]:8.1f} tok/s   transformers {peer_speed:8.1f}   ratio {mine[name] / peer_speed:.2f} x", flush=True)
        if "samples_8" in theirs:
            cost, peer_cost = (d["samples_8"] / d["samples_1"] for d in (mine, theirs))
            print(f"{size:5} {dtype} eight samples of 512 tokens: lathe {cost:.2f} x one, transformers {peer_cost:.2f} x; "
                  f"seconds {mine['samples_8']:.2f} and {theirs['samples_8']:.2f}", flush=True)


if sys.argv[1] == "--peer":
    peer(*sys.argv[2:7], int(sys.argv[7]))
else:
    main()
