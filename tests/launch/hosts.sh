# Sourced with the folder $work to be made: two hosts as network namespaces, ${hosts[0]} and ${hosts[1]}, with host names, /tmp and
# /dev/shm of their own, joined by a bridge; gone at the end of the script. They reach each other by v${id}0 and v${id}1.
# 77, "not run", where there is no root, no mpirun, or namespaces are forbidden.
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

# mpirun's options for ranks on them.
on_hosts=(--allow-run-as-root --oversubscribe --bind-to none --mca plm_rsh_agent "$work/agent" --mca plm_rsh_no_tree_spawn 1
  --mca btl_tcp_if_include "$net" --mca oob_tcp_if_include "$net" --mca btl_vader_single_copy_mechanism none --mca mpi_yield_when_idle 1)
