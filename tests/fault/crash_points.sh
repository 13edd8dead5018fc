#!/bin/bash
# crash_points.sh SAVE_ONCE: a save is killed at each call that changes the disk, and each of
# them fails with EIO and ENOSPC. The newest checkpoint must be whole and of the old or the new step,
# and the next save must succeed. 77, "not run", without strace or where it may not trace.
program=$1
calls=mkdir,mkdirat,write,pwrite64,writev,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
command -v strace > /dev/null || { echo "NOT RUN: strace is not there"; exit 77; }
strace -qq -o "$folder/probe" true || { echo "NOT RUN: strace may not trace here"; exit 77; }
export OMP_NUM_THREADS=1

"$program" save "$folder/base" 1 || exit 1
cp -r "$folder/base" "$folder/run"
strace -f -qq -o "$folder/trace" -e trace=$calls "$program" save "$folder/run" 2 || exit 1

points=0 failed=0
try() {  # CALL N WHAT EXIT_CODES: one fault at the Nth CALL of the save
  rm -rf "$folder/run" && cp -r "$folder/base" "$folder/run"
  { strace -f -qq -o /dev/null -e trace="$1" -e inject="$1:$3:when=$2" "$program" save "$folder/run" 2 \
    2> "$folder/said"; } 2> "$folder/killed"
  local code=$?
  points=$((points + 1))
  case " $4 " in *" $code "*) ;; *) echo "$1 $2 $3: exit code $code"; cat "$folder/said"; failed=$((failed + 1)) ;; esac
  "$program" check "$folder/run" 1 2 || { echo "$1 $2 $3: not recovered"; failed=$((failed + 1)); }
}
for call in ${calls//,/ }; do
  count=$(grep -c " $call(" "$folder/trace")
  for ((n = 1; n <= count; n++)); do
    try "$call" "$n" signal=KILL 137
    # What only tidies up may fail.
    try "$call" "$n" error=EIO "0 74"
    try "$call" "$n" error=ENOSPC "0 74"
  done
done
echo "$points faults, $failed failed"
[ "$points" -ge 15 ] && [ "$failed" -eq 0 ]
