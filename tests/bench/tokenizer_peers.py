"""Our tokenizer against the Python wheels: the same documents, one after the other on one pinned core.

    taskset -c 1 python tests/bench/tokenizer_peers.py build/cpu/bin/bench_tokenizer ../shared/data

Needs the wheels `tokenizers` (it also builds what the others read), and whichever of `tiktoken`, `fastokens` and
`gigatoken` shall be measured. MB/s of UTF-8 by processor time, first pass and best of three later ones; a wheel's ids
come back the way its fastest call gives them.
"""
import json, os, re, shutil, subprocess, sys, tempfile, time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"


def byte_level(folder, pattern):
    vocab = json.load(open(f"{folder}/vocab.json", encoding="utf-8"))
    lines = open(f"{folder}/merges.txt", encoding="utf-8", newline="\n")
    merges = [tuple(l.rstrip("\r\n").split(" ")) for l in lines if l.strip() and not l.startswith("#version")]
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    if pattern:
        tokenizer.normalizer = normalizers.NFC()
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, vocab


def byte_of_character():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(others)}


def peers(name, folder):
    tokenizer, vocab = byte_level(folder, QWEN2 if name == "qwen2" else None)
    text = tokenizer.to_str()
    yield "tokenizers", lambda: (lambda docs: [tokenizer.encode(d, add_special_tokens=False) for d in docs])
    try:
        import tiktoken
        byte = byte_of_character()
        ranks = {bytes(byte[c] for c in token): i for token, i in vocab.items() if all(c in byte for c in token)}
        encoding = tiktoken.Encoding(name, pat_str=QWEN2 if name == "qwen2" else GPT2, mergeable_ranks=ranks, special_tokens={})
        yield "tiktoken", lambda: (lambda docs: [encoding.encode_ordinary(d) for d in docs])
    except ImportError:
        print("tiktoken: NOT RUN (no wheel)")
    try:
        import fastokens
        make = lambda: fastokens.Tokenizer.from_json_str(text)
        yield "fastokens", lambda: (lambda t: lambda docs: [t.encode(d, add_special_tokens=False) for d in docs])(make())
    except ImportError:
        print("fastokens: NOT RUN (no wheel)")
    try:
        import gigatoken
        make_giga = lambda: gigatoken.Tokenizer.from_json(text)
        yield "gigatoken", lambda: (lambda t: lambda docs: t.encode_batch(docs, parallel=False))(make_giga())
    except ImportError:
        print("gigatoken: NOT RUN (no wheel)")


def speed(call, docs):
    start = time.process_time()
    call(docs)
    return sum(len(d.encode()) for d in docs) / 1e6 / (time.process_time() - start)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    bench, data = sys.argv[1:]
    folder = tempfile.mkdtemp()
    subprocess.run([bench, "--write", folder, data], check=True)
    texts = {file[:-5]: json.load(open(f"{folder}/{file}", encoding="utf-8")) for file in sorted(os.listdir(folder))}
    shutil.rmtree(folder)
    for name in ("gpt2", "qwen2"):
        ours = subprocess.run([bench, data, name], capture_output=True, text=True, check=True).stdout
        for text, docs in texts.items():
            if not docs:
                continue
            cold, warm = map(float, re.search(rf"^{name} +{text} .*cold +([\d.]+) +warm +([\d.]+)", ours, re.M).groups())
            print(f"{name:6} {text:14} {'lathe':10} first {cold:6.1f}  later {warm:6.1f} MB/s")
            for peer, make in peers(name, f"{data}/tokenizers/{name}"):
                call = make()
                first = speed(call, docs)
                later = max(speed(call, docs) for _ in range(3))
                print(f"{name:6} {text:14} {peer:10} first {first:6.1f}  later {later:6.1f} MB/s"
                      f"  ours is {cold / first:5.2f} x, later {warm / later:5.2f} x")


main()
