#!/usr/bin/env bash
# Runs the README's tested commands as a newcomer would: in a clean clone, in order, each block on its own.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
git -C "$root" rev-parse HEAD >/dev/null 2>&1 || { echo "NOT RUN: $root is not a git checkout"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone -q "$root" "$work/lathe"
cd "$work/lathe"

# The sh blocks that follow a line "<!-- tested".
awk -v out="$work/block" '
  /^<!-- tested/ { wanted = 1; next }
  wanted && /^```sh$/ { n++; inside = 1; next }
  inside && /^```$/ { inside = 0; wanted = 0; next }
  inside { print > (out n ".sh") }' README.md
blocks=$(find "$work" -maxdepth 1 -name 'block*.sh' | sort -V)
[ "$(wc -w <<<"$blocks")" -ge 2 ] || { echo "README.md has fewer than two tested blocks"; exit 1; }
for block in $blocks; do
  echo "README: $(cat "$block")"
  bash -e "$block" | tee -a "$work/output"
done

# What the quickstart promises.
match=$(grep -o "exact match: .*" "$work/output")
echo "$match"
after=$(sed -E 's/.*before, ([0-9.]+) % after.*/\1/' <<<"$match")
awk -v after="$after" 'BEGIN { exit !(after > 90) }' || { echo "the quickstart promises over 90 %"; exit 1; }
