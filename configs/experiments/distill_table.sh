#!/usr/bin/env bash
# Distillation on two cores: a teacher of 5.0 M parameters, trained here on questions and real text, and students of 1.0 M that see
# the same tokens in every row of the table: fine-tuned (sft), taught by whole distributions (forward KL, reverse KL, JSD, skew KL), by
# what lathe capture kept of them (top-k 8 and 32), and on their own answers (GKD). Mean and spread over three seeds of held-out
# loss, agreement with the teacher's likeliest token, and exact match on held-out questions.
#   ./configs/experiments/distill_table.sh      sized for less than 30 minutes on two quiet cores; started again, it goes on behind what is done
#   TEXT=file.txt                               the real text (a megabyte of plain text; default: ../shared/data/text/tinyshakespeare.txt)
#   OUT=folder SEEDS="1 2 3" METHODS="..."      where, and how much of it
#   TEACHER_STEPS=600 STEPS=140                 2,048 tokens each
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
text=${TEXT:-$root/../shared/data/text/tinyshakespeare.txt}
out=${OUT:-$root/runs/distill_table}
methods=${METHODS:-sft forward_kl reverse_kl jsd skew_kl top_8 top_32 on_policy}
config=$root/configs/experiments/distill_table.yaml
[ -f "$text" ] || { echo "distill_table: $text is not there; give TEXT=a file of plain text" >&2; exit 64; }
mkdir -p "$out"

lathe() { "$root/launch/lathe" "$@" >>"$out/log.txt" 2>&1 || { tail -n 20 "$out/log.txt" >&2; exit 1; }; }
done_already() { [ -e "$1/model.safetensors" ]; }

# write_model FOLDER HIDDEN INTERMEDIATE LAYERS HEADS: a llama of these sizes, with the tokenizer.
write_model() {
  mkdir -p "$1"
  cp "$out/tokenizer/"* "$1/"
  echo '{"eos_token_id": 2, "pad_token_id": 0}' >"$1/generation_config.json"
  cat >"$1/config.json" <<JSON
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 1024, "hidden_size": $2,
 "intermediate_size": $3, "num_hidden_layers": $4, "num_attention_heads": $5, "num_key_value_heads": $(($5 / 2)), "head_dim": 32,
 "hidden_act": "silu", "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
 "attention_bias": false, "mlp_bias": false, "initializer_range": 0.05, "eos_token_id": 2, "pad_token_id": 0}
JSON
}

make_data() {
  [ -e "$out/student/config.json" ] && return
  # One step of the quickstart writes its questions.
  lathe train "$root/configs/quickstart.yaml" output_dir="$out/quickstart" max_steps=1 eval_steps=0
  cp "$out/quickstart/timetable/train.jsonl" "$out/questions.jsonl"
  cp "$out/quickstart/timetable/held_out.jsonl" "$out/held_out.jsonl"
  head -c 400000 "$text" >"$out/text.txt"
  tail -c 40000 "$text" >"$out/held_out.txt"
  grep -o '"content": *"[^"]*"' "$out/questions.jsonl" | sed -E 's/^"content": *"(.*)"$/\1/' >"$out/questions.txt"
  lathe tokenizer train --input "$out/questions.txt" "$out/text.txt" --output "$out/tokenizer" --vocab-size 1024 \
    --special-token '<|endoftext|>' '<|im_start|>' '<|im_end|>' --eos-token '<|im_end|>' --pad-token '<|endoftext|>'
  write_model "$out/teacher_start" 256 768 6 8
  write_model "$out/student" 128 448 4 4
}

data=("model_name_or_path=$out/student" "data.train=[$out/questions.jsonl, $out/text.txt]"
  "distill.teacher_model_name_or_path=$out/teacher")

make_teacher() {
  done_already "$out/teacher" && return
  lathe train "$config" recipe=sft seed=7 output_dir="$out/teacher" "${data[@]:1:1}" model_name_or_path="$out/teacher_start" \
    learning_rate=2e-3 max_steps="${TEACHER_STEPS:-600}"
}

# Rows of 32 tokens, one folder for each source; who wants fewer reads the likeliest of them.
capture() {
  [ -e "$out/rows/1/teacher.json" ] && return
  lathe capture "$config" recipe=capture output_dir="$out/rows" "${data[@]:1:1}" model_name_or_path="$out/teacher" \
    model.tokenizer="$out/student" from_scratch=false capture.top_k=32
}

# train METHOD SEED
train() {
  local folder=$out/$1-$2 how=()
  done_already "$folder" && return
  case $1 in
    sft) how=(recipe=sft) ;;
    top_*)
      capture
      how=('distill.teacher_model_name_or_path=""' "teacher_shards=[$out/rows/0, $out/rows/1]" distill.top_k="${1#top_}") ;;
    on_policy) how=(divergence=jsd lmbda=0.25 max_new_tokens=24) ;;
    *) how=("divergence=$1") ;;
  esac
  lathe train "$config" output_dir="$folder" seed="$2" "${data[@]}" max_steps="${STEPS:-140}" "${how[@]}"
}

# All are measured alike: by a step of distillation that changes nothing. Prints loss, agreement and exact match.
measure() {
  local folder=$out/$1-measured
  "$root/launch/lathe" train "$config" output_dir="$folder" "${data[@]:1}" model_name_or_path="$out/$1" from_scratch=false \
    data.eval="[$out/held_out.jsonl, $out/held_out.txt]" data.exact_match="$out/held_out.jsonl" max_steps=1 learning_rate=0 \
    resume_from_checkpoint=never >"$out/measured.txt" 2>&1 || { tail -n 20 "$out/measured.txt" >&2; exit 1; }
  local match
  match=$(sed -nE 's/.*exact match: .* ([0-9.]+) % after.*/\1/p' "$out/measured.txt")
  grep '"eval_loss"' "$folder/metrics.jsonl" | tail -n 1 |
    sed -E "s/.*\"eval_loss\": ?([-0-9.e]+).*\"eval_teacher_agreement\": ?([-0-9.e]+).*/\1 \2 $match/"
}

make_data
make_teacher
: >"$out/results.txt"
echo "teacher 7 $(measure teacher)" | tee -a "$out/results.txt"
for seed in ${SEEDS:-1 2 3}; do
  for method in $methods; do
    train "$method" "$seed"
    echo "$method $seed $(measure "$method-$seed")" | tee -a "$out/results.txt"
  done
done
awk '
  !($1 in n) { order[++rows] = $1 }
  { n[$1]++; for (i = 0; i < 3; ++i) { sum[$1, i] += $(3 + i); square[$1, i] += $(3 + i) ^ 2 } }
  function cell(m, i, scale,  mean, spread) {
    mean = sum[m, i] / n[m]
    spread = n[m] > 1 ? sqrt((square[m, i] - n[m] * mean ^ 2 > 0 ? square[m, i] - n[m] * mean ^ 2 : 0) / (n[m] - 1)) : 0
    return sprintf("%8.3f +- %.3f", scale * mean, scale * spread)
  }
  END {
    printf "%-12s %5s  %-18s  %-18s  %-18s\n", "method", "seeds", "held-out loss", "agreement %", "exact match %"
    for (r = 1; r <= rows; ++r) {
      m = order[r]
      printf "%-12s %5d  %-18s  %-18s  %-18s\n", m, n[m], cell(m, 0, 1), cell(m, 1, 100), cell(m, 2, 1)
    }
  }' "$out/results.txt" | tee "$out/table.txt"
