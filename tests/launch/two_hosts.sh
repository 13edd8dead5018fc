#!/bin/bash
# two_hosts.sh PROGRAM FOLDER: 2 hosts (hosts.sh) x 2 ranks train what one rank trains, over real TCP; then a host loses its
# link, and all end with 71.
program=$1 work=$2
source "$(dirname "$0")/hosts.sh"

train=(train recipe=quickstart max_steps=6 logging_steps=1 save_steps=0 model.dtype=fp32 data.cache_dir="$work/cache" threads_per_rank=1)
mpi=(mpirun -np 4 -H "${hosts[0]}:2,${hosts[1]}:2" "${on_hosts[@]}")

# One rank, and four on two hosts: the same losses.
"$program" "${train[@]}" global_batch_size=8 output_dir="$work/one" > "$work/one.log" 2>&1 || fail "one rank ended with $?"
"${mpi[@]}" "$program" "${train[@]}" global_batch_size=8 per_device_train_batch_size=2 output_dir="$work/four" > "$work/four.log" 2>&1 ||
  fail "four ranks ended with $?"
losses() { grep -oE '"(loss|grad_norm|eval_loss)": ?[0-9.e+-]+' "$1/metrics.jsonl" | cut -d: -f2; }
[ "$(losses "$work/one" | wc -l)" -ge 12 ] || fail "there are too few losses"
paste <(losses "$work/one") <(losses "$work/four") |
  awk '{ d = $1 - $2; if (d < 0) d = -d; if (NF != 2 || d > 1e-5 * ($1 < 0 ? -$1 : $1)) { print "differ:", $0; bad = 1 } } END { exit bad }' ||
  fail "two hosts do not train what one rank trains"

# A link goes down: the host is named, and no rank of either host stays.
"${mpi[@]}" "$program" "${train[@]}" max_steps=100000 heartbeat_timeout=3 output_dir="$work/cut" > "$work/cut.log" 2>&1 &
mpirun=$!
ranks() { pgrep -f "output_dir=$work/cut" | while read -r pid; do grep -q '^lathe' "/proc/$pid/comm" 2> /dev/null && echo "$pid"; done; }
until grep -qE '"step": ?3,' "$work/cut/metrics.jsonl" 2> /dev/null; do kill -0 $mpirun 2> /dev/null || fail "the run ended early"; done
[ "$(ranks | wc -l)" -eq 8 ] || fail "expected 4 ranks and 4 monitors"
ip link set "v${id}1" down
end=$((SECONDS + 60))
while [ -n "$(ranks)" ]; do [ $SECONDS -lt $end ] || fail "ranks outlived their host"; done
ip link set "v${id}1" up
kill -9 $mpirun 2> /dev/null
wait $mpirun 2> /dev/null
grep -q "^FATAL code=71 rank=[23] host=${hosts[1]} .*silent for" "$work/cut.log" || fail "no line names the host"
[ "$(grep -c FATAL "$work/cut.log")" -eq 1 ] || fail "expected one FATAL line"
"$program" postmortem "$work/cut" | grep -q "did not arrive\|all were in" || fail "postmortem does not read it"
echo "two hosts train what one rank trains, and end when one is lost"
