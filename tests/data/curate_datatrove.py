"""Compares lathe curate with datatrove, document by document: the decisions of one filter at a time.

usage: curate_datatrove.py LATHE FILE.jsonl...   exit code 0: all equal; prints every difference
"""
import json, subprocess, sys, tempfile, warnings
from collections import Counter
from pathlib import Path

warnings.filterwarnings("ignore")
from loguru import logger

logger.remove()
from datatrove.data import Document
from datatrove.pipeline.filters import C4ParagraphFilter, C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter

lathe, files = sys.argv[1], sys.argv[2:]
filters = {"gopher_quality": GopherQualityFilter(), "gopher_repetition": GopherRepetitionFilter(), "c4": C4QualityFilter(),
           "c4_paragraph": C4ParagraphFilter(), "fineweb": FineWebQualityFilter()}
differences = compared = 0
for path in files:
    texts = [json.loads(line)["text"] for line in open(path)]
    for name, theirs in filters.items():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([lathe, "curate", "/dev/null", f"sources={path}", f"filters=[{name}]", "duplicates.exact=false",
                            "duplicates.near=false", f"output_dir={folder}"], check=True, stdout=subprocess.DEVNULL)
            ours = ["keep"] * len(texts)
            for part in Path(folder, "excluded").rglob("*.jsonl"):
                for line in open(part):
                    record = json.loads(line)
                    ours[record["curated"]["number"]] = record["rule"]
        reasons = Counter()
        for number, text in enumerate(texts):
            kept = theirs.filter(Document(text=text, id=str(number)))
            their = "keep" if kept is True else kept[1]
            if name == "c4_paragraph" and their != "keep":
                their = "too_few_paragraphs"  # "< 3 paragraphs" there
            compared += 1
            reasons[their] += 1
            if their != ours[number]:
                differences += 1
                print(f"{path}:{number + 1}: {name}: datatrove {their}, lathe {ours[number]}")
        print(f"{Path(path).name} {name}: {dict(reasons)}")
print(f"{compared} decisions compared, {differences} differ")
sys.exit(differences > 0)
