#!/bin/bash
# crash_points.sh SAVE_ONCE: a save is killed at each call that changes the disk, and each of
# them fails with EIO and ENOSPC. The newest checkpoint must be whole and of the old or the new step,
# and the next save must succeed. 77, "not run", without strace or where it may not trace.
source "$(dirname "$0")/faults.sh"
program=$1

"$program" save "$folder/base" 1 || exit 1
cp -r "$folder/base" "$folder/run"
strace -ff -qq -o "$folder/trace" -e trace=$calls "$program" save "$folder/run" 2 || exit 1

try() {
  rm -rf "$folder/run" && cp -r "$folder/base" "$folder/run"
  { strace -f -qq -o /dev/null -e trace="$1" -e inject="$1:$3:when=$2" "$program" save "$folder/run" 2 \
    2> "$folder/said"; } 2> "$folder/killed"
  local code=$?
  case " $4 " in *" $code "*) ;; *) echo "$1 $2 $3: exit code $code"; cat "$folder/said"; failed=$((failed + 1)) ;; esac
  "$program" check "$folder/run" 1 2 || { echo "$1 $2 $3: not recovered"; failed=$((failed + 1)); }
}
each_fault 15 "0 74" signal=KILL error=EIO error=ENOSPC  # 0: what only tidies up may fail
