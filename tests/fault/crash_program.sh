#!/bin/bash
# crash_program.sh LATHE: a run of four steps that saves after each second one is killed at each call that changes the disk,
# wherever it is: starting, training, saving, writing the model. Started again it must end with the same model, byte for byte.
# FAULTS=all: each of these calls fails with EIO and ENOSPC as well; the run ends with 73 or 74 or goes on, and the next start
# ends with the same model. 77, "not run", without strace or where it may not trace.
lathe=$1
calls=mkdir,mkdirat,write,pwrite64,writev,ftruncate,fsync,fdatasync,rename,renameat,renameat2
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
command -v strace > /dev/null || { echo "NOT RUN: strace is not there"; exit 77; }
strace -qq -o "$folder/probe" true || { echo "NOT RUN: strace may not trace here"; exit 77; }
export OMP_NUM_THREADS=1

"$lathe" train recipe=quickstart output_dir="$folder/start" train.max_steps=1 train.save_steps=0 > "$folder/said" 2>&1 || { cat "$folder/said"; exit 1; }
head -n 32 "$folder/start/timetable/train.jsonl" > "$folder/train.jsonl"
cat > "$folder/config.yaml" <<END
recipe: sft
output_dir: $folder/run
model: {model_name_or_path: $folder/start, dtype: fp32}
data: {train: $folder/train.jsonl, max_length: 64, cache_dir: $folder/cache}
train: {max_steps: 4, save_steps: 2, per_device_train_batch_size: 2, logging_steps: 1}
END
run() { "$@" "$lathe" train "$folder/config.yaml" > "$folder/said" 2>&1; }
fresh() { rm -rf "$folder/run"; }

run || { cat "$folder/said"; exit 1; }
model=$(sha256sum < "$folder/run/model.safetensors")
fresh
run strace -ff -qq -o "$folder/trace" -e trace=$calls || exit 1

points=0 failed=0
wrong() { echo "$1"; tail -n 3 "$folder/said"; failed=$((failed + 1)); }
try() {  # CALL N WHAT EXIT_CODES: one fault at the Nth CALL of a thread
  fresh
  { run strace -f -qq -o /dev/null -e trace="$1" -e inject="$1:$3:when=$2"; } 2> "$folder/killed"
  local code=$?
  points=$((points + 1))
  case " $4 " in *" $code "*) ;; *) wrong "$1 $2 $3: exit code $code" ;; esac
  run || wrong "$1 $2 $3: the next start ended with $?"
  [ "$(sha256sum < "$folder/run/model.safetensors")" = "$model" ] || wrong "$1 $2 $3: another model"
}
for call in ${calls//,/ }; do
  count=$(grep -c "^$call(" "$folder"/trace.* | cut -d: -f2 | sort -n | tail -n 1)  # of the thread that has most
  for ((n = 1; n <= count; n++)); do
    try "$call" "$n" signal=KILL 137
    [ "${FAULTS:-kill}" = kill ] && continue
    # What only informs may fail.
    try "$call" "$n" error=EIO "0 73 74"
    try "$call" "$n" error=ENOSPC "0 73 74"
  done
done
echo "$points faults, $failed failed"
[ "$points" -ge 30 ] && [ "$failed" -eq 0 ]
