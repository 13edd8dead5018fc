#!/usr/bin/env bash
# curate_ranks.sh LATHE FOLDER: 2 and 3 ranks, and one alone after an interrupted call of 3, curate to the bytes of one
# rank; what is wrong with a file is said by one of them. 77, "not run", without mpirun.
set -euo pipefail
lathe=$1 folder=$2
command -v mpirun > /dev/null || { echo "NOT RUN: mpirun is not there"; exit 77; }
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"

# 5 MB in two files: words from a small list, every tenth document said before, every twentieth with a notice.
awk 'BEGIN {
  seed = 7
  split("ba ce di fo gu ha je ki lo mu na pe ri so tu va we xi yo zu", part, " ")
  notice = "This notice stands under many of the documents, word for word, and is longer than two hundred bytes, so that a suffix array finds it wherever it stands; all but the first are cut out of their documents, which stay."
  for (d = 0; d < 2400; ++d) {
    if (d % 10 != 9) {
      text = ""
      for (w = 0; w < 300; ++w) {
        seed = (seed * 1103 + 12345) % 1000003
        text = text part[seed % 20 + 1] part[int(seed / 20) % 20 + 1] part[int(seed / 400) % 20 + 1] (w % 12 == 11 ? ". " : " ")
      }
    }
    printf "{\"text\": \"%s%s\"}\n", text, d % 20 == 3 ? notice : "" > (d < 1300 ? "a.jsonl" : "b.jsonl")
    if (d % 500 == 0) printf "{\"text\": 5}\n" > (d < 1300 ? "a.jsonl" : "b.jsonl")
  }
}'
grep -v '"text": 5' a.jsonl > examples.jsonl
grep -v '"text": 5' b.jsonl > good.jsonl
cat > config.yaml <<'YAML'
sources: [{path: a.jsonl}, {path: b.jsonl, tier: gold}]
filters: [gopher_repetition, gopher_quality]
drop: ["words > 5000"]
duplicates: {repeated_sentences: 0.5, cut_substrings: true}
thresholds: {gopher_enough_stop_words: 0}
unigram: {corpus: [examples.jsonl]}
quality_classifier: {positives: [good.jsonl], negatives: [examples.jsonl], epoch: 2}
mix: {order_by: quality}
block_mb: 1
threads: 1
YAML
ranks() {
  local count=$1
  shift
  mpirun -np "$count" --oversubscribe --allow-run-as-root --bind-to none --mca btl_vader_single_copy_mechanism none \
    --mca mpi_yield_when_idle 1 "$lathe" curate config.yaml "$@"
}
"$lathe" curate config.yaml output_dir=one > one.txt
grep -q "2405 documents read" one.txt
[ "$(ls one/signals | wc -l)" -ge 5 ]
grep -q '"cut": \[\[' one/kept/a/*.jsonl
for count in 2 3; do
  ranks "$count" output_dir="of_$count" > "of_$count.txt"
  diff -r one "of_$count"
  [ "$(grep -c 'documents read' "of_$count.txt")" -eq 1 ]
done
# Blocks that are there are not measured again, whoever measured them.
cp -r of_3 rest
rm rest/report.json rest/signals/000001.sig
first=$(stat -c %Y.%i rest/signals/000000.sig)
ranks 2 output_dir=rest > rest.txt
[ "$(stat -c %Y.%i rest/signals/000000.sig)" = "$first" ]
diff -r one rest
ranks 2 output_dir=rest > again.txt
grep -q "was made before" again.txt
# A damaged file ends all ranks with its name.
gzip -c b.jsonl > whole.gz
head -c 20000 whole.gz > b.jsonl.gz
code=0
ranks 3 output_dir=bad "sources=[b.jsonl.gz]" > bad.txt 2>&1 || code=$?
[ "$code" -eq 65 ] || { cat bad.txt; echo "exit code $code, expected 65"; exit 1; }
grep -q "b.jsonl.gz" bad.txt
echo "curated alike by 1, 2 and 3 ranks"
