#!/usr/bin/env bash
# Does curation help? One tiny model (0.8 M parameters, from scratch) on raw text with planted junk, on what lathe curate keeps of it
# with the rules of configs/curate.yaml, and on the text without junk, which is the most that curation could do: the same tokens,
# three seeds, the same held-out text. Prints how much of each kind of junk was kept, and mean and spread (sample standard
# deviation) of the held-out loss.
#   ./configs/experiments/curate_ablation.sh    about 7 minutes of processor time; started again, it goes on behind what is done
#   TEXT=file.txt                               the real text: paragraphs with a blank line between (default: ../shared/data/text/war-and-peace.txt)
#   OUT=folder SEEDS="1 2 3" TEXTS="raw curated clean" STEPS=240       where, and how much of it; a step takes 2,048 tokens
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
text=${TEXT:-$root/../shared/data/text/war-and-peace.txt}
out=${OUT:-$root/runs/curate_ablation}
config=$root/configs/experiments/raw_or_curated.yaml
[ -f "$text" ] || { echo "curate_ablation: $text is not there; give TEXT=a file of plain text" >&2; exit 64; }
mkdir -p "$out"

lathe() { "$root/launch/lathe" "$@" >>"$out/log.txt" 2>&1 || { tail -n 20 "$out/log.txt" >&2; exit 1; }; }

# Passages of at least 120 words, paragraph by paragraph: 1.6 MB to train on, the next 160 kB held out. Behind a passage of the
# first may stand junk: a copy of it (every other with one word changed), a page of boilerplate, noise of symbols, or a salad
# of its own words in random order. The numbers come from a generator of Lehmer's, so that every awk makes the same junk.
make_texts() {
  awk -v raw="$out/raw.jsonl" -v clean="$out/clean.jsonl" -v held="$out/held_out.jsonl" '
    function random(n) { state = (state * 16807) % 2147483647; return state % n }
    function emit(file, kind, text) { print "{\"kind\": \"" kind "\", \"text\": \"" text "\"}" >file }
    function copy(text,  words, n, k) {
      if (random(2)) return text
      n = split(text, words, " ")
      k = 2 + random(n - 2)
      sub(" " words[k] " ", " other ", text)
      return text
    }
    function boilerplate(  page, begin, i, k) {
      for (i = 0; i < 3 + random(3); i++) {
        begin = random(8)
        for (k = 0; k < 3; k++) page = page (page == "" ? "" : "\\n") lines[(begin + k) % 8]
      }
      return page
    }
    function noise(  page, i) {
      for (i = 0; i < 110; i++) page = page (i == 0 ? "" : i % 10 ? " " : "\\n") signs[random(12)] (random(3) ? "" : random(100000))
      return page
    }
    function salad(text,  words, n, i, k, word) {
      gsub(/\\n/, " ", text)
      n = split(text, words, " ")
      for (i = n; i > 1; i--) { k = 1 + random(i); word = words[i]; words[i] = words[k]; words[k] = word }
      for (i = 1; i <= n; i++) word = i == 1 ? words[i] : word (i % 12 == 1 ? "\\n" : " ") words[i]
      return word
    }
    function passage() {
      total += length(text)
      if (total > 1760000) return
      if (total > 1600000) return emit(held, "real", text)
      emit(clean, "real", text)
      emit(raw, "real", text)
      if (random(100) < 30) emit(raw, "copy", copy(text))
      if (random(100) < 35) emit(raw, "boilerplate", boilerplate())
      if (random(100) < 35) emit(raw, "symbols", noise())
      if (random(100) < 35) emit(raw, "salad", salad(text))
    }
    BEGIN {
      RS = ""; state = 20261130
      split("### $$ %% {} [[ ]] || >> << ... @@ ~~", list, " ")
      for (i = 1; i <= 12; i++) signs[i - 1] = list[i]
      n = split("Accept all cookies to continue.|Sign up for our newsletter today!|Share this page on social media.|All rights reserved.|" \
        "Read our privacy policy and terms of use.|You must be logged in to post a comment.|Click here to go back to the top of the page.|" \
        "This site uses cookies to improve your experience.", list, "|")
      for (i = 1; i <= n; i++) lines[i - 1] = list[i]
    }
    {
      gsub(/[ \t\r\n]+/, " "); gsub(/\\/, ""); gsub(/"/, "\\\""); sub(/ $/, "")
      text = text (text == "" ? "" : "\\n") $0
      words += NF
      if (words >= 120) { passage(); text = ""; words = 0 }
    }' "$text"
}

make_data() {
  [ -e "$out/model/config.json" ] && return
  make_texts
  lathe curate "$root/configs/curate.yaml" "sources=[{path: $out/raw.jsonl, name: raw}]" evaluations=[] output_dir="$out/curated"
  sed -E 's/^.*"text": "//; s/"\}$//; s/\\n/ /g; s/\\"/"/g' "$out/clean.jsonl" >"$out/clean.txt"
  lathe tokenizer train --input "$out/clean.txt" --output "$out/model" --vocab-size 1024 \
    --special-token '<|endoftext|>' --eos-token '<|endoftext|>'
  cat >"$out/model/config.json" <<'JSON'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 1024, "hidden_size": 128,
 "intermediate_size": 352, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
 "hidden_act": "silu", "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
 "attention_bias": false, "mlp_bias": false, "initializer_range": 0.05, "eos_token_id": 0}
JSON
}

# How many records of a kind the JSON lines have.
count() { cat "${@:2}" | grep -c "\"kind\": \"$1\"" || true; }

# train TEXT SEED, and its held-out loss behind the last step.
train() {
  local folder=$out/$1-$2 data=$out/$1.jsonl
  [ "$1" = curated ] && data=$out/curated
  [ -e "$folder/model.safetensors" ] ||
    lathe train "$config" model_name_or_path="$out/model" data.train="$data" data.eval="$out/held_out.jsonl" seed="$2" \
      max_steps="${STEPS:-240}" output_dir="$folder"
  grep '"eval_loss"' "$folder/metrics.jsonl" | tail -n 1 | sed -E 's/.*"eval_loss": ?([-0-9.e]+).*/\1/'
}

make_data
for kind in real copy boilerplate symbols salad; do
  echo "$kind: $(count "$kind" "$out/raw.jsonl") documents, $(count "$kind" "$out"/curated/kept/raw/*) kept"
done | tee "$out/kept.txt"
: >"$out/results.txt"
for seed in ${SEEDS:-1 2 3}; do
  for name in ${TEXTS:-raw curated clean}; do
    loss=$(train "$name" "$seed")
    echo "$name $seed $loss" | tee -a "$out/results.txt"
  done
done
awk -v tokens=$((${STEPS:-240} * 2048)) '
  !($1 in n) { order[++rows] = $1 }
  { n[$1]++; sum[$1] += $3; square[$1] += $3 ^ 2; loss[$1, $2] = $3; seeds[$2] }
  END {
    printf "%-8s %5s %8s  %s\n", "text", "seeds", "tokens", "held-out loss"
    for (r = 1; r <= rows; ++r) {
      m = order[r]
      mean = sum[m] / n[m]
      spread = n[m] > 1 ? (square[m] - n[m] * mean ^ 2) / (n[m] - 1) : 0
      printf "%-8s %5d %8d  %.4f +- %.4f\n", m, n[m], tokens, mean, sqrt(spread > 0 ? spread : 0)
    }
    for (s in seeds) {
      if (!(("raw", s) in loss) || !(("curated", s) in loss)) continue
      both++
      lower += loss["curated", s] < loss["raw", s]
    }
    if (both) printf "curated below raw with %d of %d seeds\n", lower, both
  }' "$out/results.txt" | tee "$out/table.txt"
