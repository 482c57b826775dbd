"""Quality of the functions on the local model, by real inference; writes docs/quality.md.

    make bench-quality            # needs the extra 'embeddings'; twenty minutes on two cores
    python benchmarks/quality/run.py --banking77 ../shared/data/banking77_train.csv

The 300 messages with their sentiment were written for this project (messages.csv). banking77 (Casanueva et al., 2020,
CC BY 4.0) is not part of it: without --banking77 its parts are left out.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import time
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa

import aiquery

HERE = Path(__file__).parent
TARGET = HERE.parent.parent / "docs" / "quality.md"
STORE = HERE.parent.parent / ".cache" / "quality.sqlite"
CHAT = "local:smollm2-135m-instruct"
SENTIMENTS = ("positive", "negative", "neutral")
INTENTS = (
    "card_arrival", "lost_or_stolen_card", "exchange_rate", "request_refund", "change_pin", "top_up_failed",
    "age_limit", "cancel_transfer", "verify_my_identity", "country_support",
)  # fmt: skip
PER_INTENT = 20
SKIPPED = 20
"""Rows of each intent that were looked at during development."""

PLAIN_SENTIMENT = "'Classify sentiment as POSITIVE, NEGATIVE, or NEUTRAL: '"
PLAIN_INTENT = f"'Classify intent as {', '.join(INTENTS[:-1])}, or {INTENTS[-1]}: '"
SCHEMA_CALLS = {
    "ai_classify": "ai_classify(text, ['praise', 'complaint', 'question'])",
    "ai_analyze_sentiment": "ai_analyze_sentiment(text)",
    "ai_classify (2, several labels)": """ai_classify(text, '["praise", "complaint", "question"]',
        map{'multilabel': 'true'})""",
    "ai_extract": "ai_extract(text, ['product', 'problem'])",
    "ai_extract (2)": """ai_extract(text, '{"topic": {"type": "string"}, "urgent": {"type": "boolean"},
        "kind": {"type": "enum", "labels": ["praise", "complaint", "question"]}}')""",
    "ai_filter": "ai_filter(text, 'mentions money')",
    "ai_query with returnType": f"ai_query('{CHAT}', text, returnType => 'STRUCT<topic: STRING, urgent: BOOLEAN>')",
}
SCHEMA_ROWS = 30
PLAIN_TOKENS = 40
"""Of a plain reply: a label that comes later is not looked for."""


def connect(store="memory:"):
    return aiquery.connect(config={"cache": {"store": str(store)}})


def read_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read(path, text, label):
    return [(row[text], row[label]) for row in read_rows(path)]


def find_label(reply, labels):
    """Return the label that a free reply mentions first, or None."""
    text = (reply or "").lower().replace(" ", "_")
    mentioned = [label for label in labels if label in text]
    return min(mentioned, key=text.find) if mentioned else None


def answer(rows, call):
    """Return each label with the answer of the call.

    The answers are cached, so that ``--resume`` continues an interrupted run.
    """
    frame = pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]})
    with connect(STORE) as con:
        con.raw.register("t", frame)
        return con.sql(f"SELECT label, {call} FROM t").fetchall()


def compute_accuracy(pairs):
    correct = [label for label, given in pairs if label == given]
    return len(correct) / len(pairs)


def count_missing(pairs):
    return len([label for label, given in pairs if given is None])


def make_confusion_table(pairs, labels):
    """Return a table with a row for each label and a column for each answer."""
    counts = Counter(pairs)
    answers = list(labels)
    if count_missing(pairs):
        answers.append(None)
    names = " | ".join("none" if given is None else given for given in answers)
    lines = [f"| label \\ answer | {names} |", "|---" * (len(answers) + 1) + "|"]
    for label in labels:
        cells = " | ".join(str(counts[label, given]) for given in answers)
        lines.append(f"| {label} | {cells} |")
    return "\n".join(lines)


def compare(title, rows, labels, prompt):
    """Return the section that compares ai_classify with the plain prompt on the same texts."""
    function, confidences = classify(rows, labels)
    replies = answer(rows, f"ai_query('{CHAT}', {prompt} || text, modelParameters => {{'max_tokens': {PLAIN_TOKENS}}})")
    plain = [(label, find_label(reply, labels)) for label, reply in replies]
    function_accuracy = compute_accuracy(function)
    plain_accuracy = compute_accuracy(plain)
    error = compute_calibration_error(function, confidences)
    print(title, function_accuracy, plain_accuracy, error, flush=True)
    return f"""## {title}

{len(rows)} texts, {len(labels)} labels.

| | accuracy | no label in the reply | calibration error |
|---|---|---|---|
| `ai_classify` | {function_accuracy:.3f} | {count_missing(function)} | {error:.3f} |
| plain `ai_query`, first label mentioned | {plain_accuracy:.3f} | {count_missing(plain)} | |
| always the same label | {1 / len(labels):.3f} | | |

`ai_classify`:

{make_confusion_table(function, labels)}
"""


def classify(rows, labels):
    """Return each label with the answer of ai_classify, and the confidences of the answers."""
    array = json.dumps(list(labels)).replace("'", "''")
    replies = answer(rows, f"ai_classify(text, '{array}', map{{'confidence': 'true'}})")
    values = [json.loads(str(value)) for _, value in replies]
    pairs = [(label, value["response"][0]) for (label, _), value in zip(replies, values, strict=True)]
    return pairs, [value["confidence"][0] for value in values]


def compute_calibration_error(pairs, confidences):
    """Return the mean distance of confidence and accuracy in ten bins (Naeini et al., AAAI 2015)."""
    bins = defaultdict(list)
    for (label, given), confidence in zip(pairs, confidences, strict=True):
        bins[min(int(confidence * 10), 9)].append((confidence, label == given))
    distances = [abs(sum(c for c, _ in rows) - sum(ok for _, ok in rows)) for rows in bins.values()]
    return sum(distances) / len(pairs)


def analyze_sentiments(rows):
    """Return the section on ai_analyze_sentiment."""
    pairs = answer(rows, "ai_analyze_sentiment(text)")
    print("ai_analyze_sentiment", compute_accuracy(pairs), flush=True)
    return f"""## ai_analyze_sentiment on the same messages

Accuracy **{compute_accuracy(pairs):.3f}**; an answer of mixed, or none, is wrong here.

{make_confusion_table(pairs, (*SENTIMENTS, "mixed"))}
"""


def compare_topics():
    """Return the section on labels of other kinds."""
    tasks = defaultdict(list)
    for row in read_rows(HERE / "topics_test.csv"):
        tasks[row["task"]].append((row["text"], row["label"]))
    lines = []
    for task, rows in tasks.items():
        labels = list(dict.fromkeys(label for _, label in rows))
        pairs, confidences = classify(rows, labels)
        error = compute_calibration_error(pairs, confidences)
        lines.append(f"| {task} | {len(rows)} | {len(labels)} | {compute_accuracy(pairs):.3f} | {error:.3f} |")
        print(lines[-1], flush=True)
    head = "| task | texts | labels | accuracy | calibration error |\n|---|---|---|---|---|\n"
    return "## ai_classify with labels of other kinds\n\n" + head + "\n".join(lines) + "\n"


def check_filter():
    """Return the section on ai_filter."""
    lines = [
        check_filter_set("half of the false texts are near misses", HERE / "filter_test.csv"),
        check_filter_set("all false texts are near misses", HERE / "filter_near_miss_test.csv"),
    ]
    head = (
        "| texts | number | conditions | balanced accuracy | true found | false left out |\n|---|---|---|---|---|---|\n"
    )
    return "## ai_filter\n\n" + head + "\n".join(lines) + "\n"


def check_filter_set(title, path):
    """Return a row of the table."""
    rows = read_rows(path)
    frame = pa.table({name: [row[name] for row in rows] for name in ("text", "condition", "label")})
    with connect(STORE) as con:
        con.raw.register("t", frame)
        answers = con.sql("SELECT label = 'true', ai_filter(text, condition) FROM t").fetchall()
    found = [given for expected, given in answers if expected]
    left_out = [not given for expected, given in answers if not expected]
    shares = [sum(found) / len(found), sum(left_out) / len(left_out)]
    conditions = len({row["condition"] for row in rows})
    line = f"| {title} | {len(rows)} | {conditions} | **{sum(shares) / 2:.3f}** | {shares[0]:.2f} | {shares[1]:.2f} |"
    print(line, flush=True)
    return line


def check_schemas(rows):
    """Return the section with the number of replies that satisfy their schema."""
    lines = []
    frame = pa.table({"text": [text for text, _ in rows[:SCHEMA_ROWS]]})
    for name, call in SCHEMA_CALLS.items():
        with connect() as con:
            con.raw.register("t", frame)
            answers = con.sql(f"SELECT {call} FROM t").fetchall()
            endings = con.ledger.totals[CHAT].endings
        lines.append(f"| `{name}` | {len(answers)} | {endings['answered']} | {endings['unreadable']} |")
        print(lines[-1], flush=True)
    head = "## Replies that satisfy their schema\n\n| call | rows | valid | violations |\n|---|---|---|---|\n"
    return head + "\n".join(lines) + "\n"


def compare_neighbours(path):
    """Return the section on embeddings: the intent of the nearest other text, and the cost beyond inference."""
    rows = read(path, "text", "category")
    frame = pa.table({"i": range(len(rows)), "text": [text for text, _ in rows], "label": [label for _, label in rows]})
    with connect() as con:
        con.raw.register("t", frame)
        started = time.monotonic()
        con.sql("CREATE TABLE e AS SELECT i, label, ai_embed(text) AS v FROM t")
        first_s = time.monotonic() - started
        dtype = con.sql("SELECT v FROM e").types[0]
        started = time.monotonic()
        con.sql("CREATE OR REPLACE TABLE e AS SELECT i, label, ai_embed(text) AS v FROM t")
        cached_s = time.monotonic() - started
        requests = next(iter(con.ledger.totals.values())).attempts
        share = compute_share_of_equal_neighbours(con)
    print("neighbours", share, cached_s, flush=True)
    return f"""## ai_embed: the nearest other text has the same intent

banking77, {len(rows):,} texts of 77 intents, each looked up among all others by cosine: **{share:.4f}**. Packaged
all-MiniLM-L6-v2, `{dtype}`, {requests} requests, {first_s:.1f} s with inference; the same statement with every answer
known, that is all but inference (hashing the texts, {len(rows):,} x 384 floats into DuckDB, writing the table):
{cached_s:.2f} s.
"""


def compute_share_of_equal_neighbours(con):
    """Return the share of texts whose nearest other text has the same label."""
    import numpy as np

    columns = con.sql("SELECT label, v FROM e ORDER BY i").to_arrow_table()
    floats = columns["v"].combine_chunks().flatten().to_numpy()
    vectors = floats.reshape(len(columns), -1)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.array(columns["label"].to_pylist())
    equal = 0
    for start in range(0, len(labels), 1000):
        rows = np.arange(start, min(start + 1000, len(labels)))
        cosines = vectors[rows] @ vectors.T
        cosines[rows - start, rows] = -2  # not the text itself
        neighbours = cosines.argmax(axis=1)
        equal += int((labels[neighbours] == labels[rows]).sum())
    return equal / len(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--banking77", type=Path)
    parser.add_argument("--rows", type=int, help="the number of rows of each part; writes no file")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    options = parser.parse_args()
    if not options.resume:
        STORE.unlink(missing_ok=True)
    messages = read(HERE / "messages.csv", "text", "sentiment")[: options.rows]
    parts = [
        compare("Sentiment of 300 messages", messages, SENTIMENTS, PLAIN_SENTIMENT),
        analyze_sentiments(messages),
        compare_topics(),
        check_filter(),
    ]
    if options.banking77:
        per_intent = min(PER_INTENT, (options.rows or 10**6) // len(INTENTS) or 1)
        banking = read(options.banking77, "text", "category")
        rows = []
        for intent in INTENTS:
            rows += [row for row in banking if row[1] == intent][SKIPPED:][:per_intent]
        title = "Ten intents of banking77"
        parts.append(compare(title, rows, INTENTS, PLAIN_INTENT))
        parts.append(compare_neighbours(options.banking77))
    parts.append(check_schemas(messages))
    head = f"""# Quality on the local model

Written by `make bench-quality`: real inference with the packaged default, SmolLM2-135M-Instruct with 8-bit weights, in
the process, temperature 0, on {platform.machine()}. Labels, sentiments and conditions are chosen by all-MiniLM-L6-v2
([how](guides/local-models.md)). Models of this size are for trying and testing.

Wordings, biases and scales were chosen on other texts (`*_train.csv` in `benchmarks/quality`) and on other intents of
banking77; the texts below were used for these figures only. The calibration error is the mean distance between the
confidence and the accuracy, in ten bins (Naeini et al., AAAI 2015).

"""
    if options.rows is None:
        TARGET.write_text(head + "\n".join(parts), "utf-8")


if __name__ == "__main__":
    main()
