#!/bin/bash
# two_hosts.sh PROGRAM FOLDER: two hosts as network namespaces, with host names, /tmp and /dev/shm of their own, joined by a
# bridge. 2 hosts x 2 ranks train what one rank trains, over real TCP; then a host loses its link, and all end with 71.
# 77, "not run", where there is no root, no mpirun, or namespaces are forbidden.
program=$1 work=$2
id=$$
net=10.213.$((id % 250)).0/24 prefix=10.213.$((id % 250))
bridge=lb$id hosts=("lh$id-0" "lh$id-1")
not_run() { echo "NOT RUN: $1"; exit 77; }
fail() { echo "FAILED: $1"; tail -n 20 "$work"/*.log; exit 1; }

[ "$(id -u)" -eq 0 ] || not_run "not root"
for tool in mpirun ip unshare; do command -v $tool > /dev/null || not_run "$tool is not there"; done

cleanup() {
  for host in "${hosts[@]}"; do
    for pid in $(ip netns pids "$host" 2> /dev/null); do kill -9 "$pid" 2> /dev/null; done
    ip netns del "$host" 2> /dev/null
  done
  ip link del "$bridge" 2> /dev/null
  rm -rf "$work"
}
trap cleanup EXIT
rm -rf "$work" && mkdir -p "$work" || exit 1

ip link add "$bridge" type bridge 2> /dev/null || not_run "no bridge can be made"
ip addr add "$prefix.254/24" dev "$bridge"
ip link set "$bridge" up
for i in 0 1; do
  host=${hosts[$i]}
  ip netns add "$host" 2> /dev/null || not_run "no network namespace can be made"
  ip link add "v$id$i" type veth peer name "w$id$i" || not_run "no veth pair can be made"
  ip link set "v$id$i" master "$bridge" up
  ip link set "w$id$i" netns "$host"
  ip -n "$host" addr add "$prefix.$((i + 1))/24" dev "w$id$i"
  ip -n "$host" link set "w$id$i" up
  ip -n "$host" link set lo up
done
printf '127.0.0.1 localhost\n%s.1 %s\n%s.2 %s\n' "$prefix" "${hosts[0]}" "$prefix" "${hosts[1]}" > "$work/hosts"

# What ssh would do: agent HOST COMMAND...
cat > "$work/agent" << AGENT
#!/bin/bash
host=\$1
shift
export HOST_TO_BE=\$host
exec ip netns exec "\$host" unshare -u -m bash -c '
  hostname "\$HOST_TO_BE"
  mount --bind "$work/hosts" /etc/hosts
  mount -t tmpfs tmpfs /dev/shm
  mount -t tmpfs tmpfs /tmp
  exec bash -c "\$*"' -- "\$@"
AGENT
chmod +x "$work/agent"

train=(train recipe=quickstart max_steps=6 logging_steps=1 save_steps=0 model.dtype=fp32 data.cache_dir="$work/cache" threads_per_rank=1)
mpi=(mpirun -np 4 --allow-run-as-root --oversubscribe --bind-to none -H "${hosts[0]}:2,${hosts[1]}:2"
  --mca plm_rsh_agent "$work/agent" --mca plm_rsh_no_tree_spawn 1 --mca btl_tcp_if_include "$net" --mca oob_tcp_if_include "$net"
  --mca btl_vader_single_copy_mechanism none --mca mpi_yield_when_idle 1)

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
