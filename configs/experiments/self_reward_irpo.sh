#!/usr/bin/env bash
# Self-rewarding with a verifier (IRPO), with and without the NLL term, three seeds: a table of exact match on held-out
# questions and of the chosen answers' log-probability, mean and spread (sample standard deviation) over the seeds.
#   ./configs/experiments/self_reward_irpo.sh [OUTPUT_DIR] [key=value ...]
# key=value go to the self_reward runs. SEEDS and START_STEPS may be given in the environment: each start model is the
# quickstart's, trained for so many steps only, which differ by seed so that each is at 40 to 60 % exact match. There it is
# right now and then in every kind of question; below, it knows the fares but guesses times, and what is right by luck
# teaches little. What is finished is taken up when it is started again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=runs/self_reward_irpo
if [ $# -gt 0 ] && [[ $1 != *=* ]]; then
  out=$1
  shift
fi
read -ra seeds <<<"${SEEDS:-1 2 3}"
read -ra start_steps <<<"${START_STEPS:-400 344 400}"
[ "${#seeds[@]}" = "${#start_steps[@]}" ] || { echo "START_STEPS: one for each of SEEDS" >&2 && exit 64; }

for i in "${!seeds[@]}"; do
  seed=${seeds[i]} start=$out/start-${seeds[i]}
  if [ ! -e "$start/model.safetensors" ]; then
    ./launch/lathe train configs/quickstart.yaml seed="$seed" train.max_steps="${start_steps[i]}" output_dir="$start" \
      quickstart.num_held_out=1000
  fi
  for variant in nll no_nll; do
    alpha=1.0
    [ "$variant" = nll ] || alpha=0.0
    ./launch/lathe train configs/experiments/self_reward_irpo.yaml seed="$seed" output_dir="$out/$variant-$seed" \
      model_name_or_path="$start" data.train="$start/timetable/train.jsonl" \
      data.exact_match="$start/timetable/held_out.jsonl" rpo_alpha="$alpha" "$@" ||
      [ "$variant" = no_nll ]  # a model that has collapsed gives no pairs, and its run ends there
  done
done

# A number of a report, which has one key a line; "-" where there is none.
number() {
  local value=
  [ ! -e "$1" ] || value=$(sed -n "s/^  \"$2\": \(-\{0,1\}[0-9.eE+-]*\),\{0,1\}$/\1/p" "$1" | head -n 1)
  printf '%s' "${value:--}"
}

# variant, seed, M0, M1, M2, chosen answers' log-probability before and after each iteration
rows() {
  local variant seed report
  for variant in nll no_nll; do
    for seed in "${seeds[@]}"; do
      report=$out/$variant-$seed/iteration
      printf '%s %s' "$variant" "$seed"
      printf ' %s' "$(number "$report-0/report.json" exact_match_before)" "$(number "$report-0/report.json" exact_match_after)" \
        "$(number "$report-1/report.json" exact_match_after)"
      for iteration in 0 1; do
        printf ' %s' "$(number "$report-$iteration/report.json" logps_chosen_before)" \
          "$(number "$report-$iteration/report.json" logps_chosen_after)"
      done
      printf '\n'
    done
  done
}

rows | tee "$out/rows.txt" | awk '
  $1 == "nll" && / -( |$)/ { print "a report lacks a number: " $0; bad = 1; next }
  {
    runs[$1]++
    for (i = 3; i <= 9; i++) if ($i != "-") { n[$1, i]++; sum[$1, i] += $i; squares[$1, i] += $i * $i }
    if (/ -( |$)/) { broken[$1]++; next }
    rises[$1] += $3 < $4 && $4 < $5
    keeps[$1] += $7 >= $6 && $9 >= $8
  }
  function cell(v, i,   mean, spread) {
    if (!n[v, i]) return "               -"
    mean = sum[v, i] / n[v, i]
    spread = n[v, i] > 1 ? (squares[v, i] - n[v, i] * mean * mean) / (n[v, i] - 1) : 0
    return sprintf("%8.2f +- %5.2f", mean, sqrt(spread > 0 ? spread : 0))
  }
  END {
    if (bad) exit 1
    print "exact match on held-out questions, %; log-probability of chosen answers, before -> after training (" runs["nll"] " seeds)"
    printf "%-8s %17s %17s %17s %38s %38s\n", "", "M0", "M1", "M2", "chosen, iteration 0", "chosen, iteration 1"
    split("nll no_nll", variants, " ")
    for (k = 1; k <= 2; k++) {
      v = variants[k]
      printf "%-8s %s %s %s   %s -> %s   %s -> %s\n", v, cell(v, 3), cell(v, 4), cell(v, 5), cell(v, 6), cell(v, 7), cell(v, 8), cell(v, 9)
    }
    for (k = 1; k <= 2; k++) {
      v = variants[k]
      printf "%s: M0 < M1 < M2 in %d of %d seeds; chosen log-probability not falling in %d of %d", v, rises[v], runs[v], keeps[v], runs[v]
      print broken[v] ? "; " broken[v] " collapsed before M2 and is not in its mean" : ""
    }
  }' | tee "$out/table.txt"
