#!/bin/bash
# crash_program.sh LATHE: a run of four steps that saves after each second one is killed at each call that changes the disk,
# wherever it is: starting, training, saving, writing the model. Started again it must end with the same model, byte for byte.
# FAULTS=all: each of these calls fails with EIO and ENOSPC as well; the run ends with 73 or 74 or goes on, and the next start
# ends with the same model. 77, "not run", without strace or where it may not trace.
source "$(dirname "$0")/faults.sh"
lathe=$1

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

wrong() { echo "$1"; tail -n 3 "$folder/said"; failed=$((failed + 1)); }
try() {
  fresh
  { run strace -f -qq -o /dev/null -e trace="$1" -e inject="$1:$3:when=$2"; } 2> "$folder/killed"
  local code=$?
  case " $4 " in *" $code "*) ;; *) wrong "$1 $2 $3: exit code $code" ;; esac
  run || wrong "$1 $2 $3: the next start ended with $?"
  [ "$(sha256sum < "$folder/run/model.safetensors")" = "$model" ] || wrong "$1 $2 $3: another model"
}
faults=(signal=KILL)
[ "${FAULTS:-kill}" = kill ] || faults+=(error=EIO error=ENOSPC)
each_fault 30 "0 73 74" "${faults[@]}"  # 0: what only informs may fail
