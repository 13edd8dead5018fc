#!/bin/bash
# overlap.sh PROGRAM MODEL DATA [MBIT_PER_SECOND] [key=value ...]: tokens a second of two ranks with zero 3 on two hosts that a slow
# network joins (tests/launch/hosts.sh), with and without parallel.overlap, in turns. Each rank computes with one thread.
program=$(realpath "$1") model=$(realpath "$2") data=$(realpath "$3") rate=${4:-1000}
shift $(($# < 4 ? $# : 4))
work=$(mktemp -d -p "$PWD")  # not in /tmp, of which each host has its own
source "$(dirname "$0")/../launch/hosts.sh"
for i in 0 1; do
  ip netns exec "${hosts[$i]}" tc qdisc add dev "w$id$i" root tbf rate "${rate}mbit" burst 512kb latency 100ms || exit 1
done

tokens_per_second() {  # of the steps after the second, the median
  mpirun -np 2 -H "${hosts[0]}:1,${hosts[1]}:1" "${on_hosts[@]}" "$program" train recipe=sft output_dir="$work/run" model_name_or_path="$model" \
    data.train="$data" data.cache_dir="$work/cache" max_length=512 packing=wrapped assistant_only_loss=false per_device_train_batch_size=2 \
    max_steps=8 logging_steps=1 save_steps=0 threads_per_rank=1 zero=3 overlap="$1" "${@:2}" > "$work/log" 2>&1 || { tail "$work/log" >&2; exit 1; }
  grep -oE '"tokens_per_second": ?[0-9.]+' "$work/run/metrics.jsonl" | cut -d: -f2 | tail -n +3 | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
  rm -rf "$work/run"
}

for round in 1 2 3; do
  off=$(tokens_per_second false "$@") && on=$(tokens_per_second true "$@") || exit 1
  awk -v off="$off" -v on="$on" -v rate="$rate" 'BEGIN { printf "%d Mbit/s: %.0f tokens/s without overlap, %.0f with: %.2f x\n", rate, off, on, on / off }'
done
