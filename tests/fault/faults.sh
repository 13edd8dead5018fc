# For crash_points.sh and crash_program.sh: which calls change the disk, and each of them failing in turn. Sourced: they define
#   try CALL N WHAT EXIT_CODES    one fault at the Nth CALL of a thread (`strace -e inject=CALL:WHAT:when=N`), and what must hold after it
# count in $failed what does not, and have the calls of a run without faults traced by `strace -ff -o $folder/trace`.
calls=mkdir,mkdirat,write,pwrite64,writev,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat
failed=0
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
command -v strace > /dev/null || { echo "NOT RUN: strace is not there"; exit 77; }
strace -qq -o "$folder/probe" true || { echo "NOT RUN: strace may not trace here"; exit 77; }
export OMP_NUM_THREADS=1

each_fault() {  # LEAST ERROR_CODES WHAT...: ends with 0 when there were that many and none failed
  local least=$1 codes=$2 points=0 call count n what
  shift 2
  for call in ${calls//,/ }; do
    count=$(grep -c "^$call(" "$folder"/trace.* /dev/null | cut -d: -f2 | sort -n | tail -n 1)  # of the thread that has most
    for ((n = 1; n <= count; n++)); do
      for what in "$@"; do
        points=$((points + 1))
        case $what in signal=KILL) try "$call" "$n" "$what" 137 ;; *) try "$call" "$n" "$what" "$codes" ;; esac
      done
    done
  done
  echo "$points faults, $failed failed"
  [ "$points" -ge "$least" ] && [ "$failed" -eq 0 ]
}
