"""How good the functions are on the local model, by real inference; writes docs/quality.md.

    make bench-quality            # needs the extra 'embeddings'; twenty minutes on two cores
    python benchmarks/quality/run.py --banking77 ../shared/data/banking77_train.csv

The 300 messages with their sentiment were written for this project (messages.csv). banking77 (Casanueva et al., 2020,
CC BY 4.0) is not part of it: its parts are left out where the file is not given.
"""

from __future__ import annotations

import argparse
import csv
import platform
import time
from collections import Counter
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
PER_INTENT = 10
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


def connect(store="memory:"):
    return aiquery.connect(config={"cache": {"store": str(store)}})


def read(path, text, label):
    with path.open(newline="") as file:
        return [(row[text], row[label]) for row in csv.DictReader(file)]


def mentioned(reply, labels):
    """Read a free reply as kindly as can be: the label that it mentions first."""
    lower = (reply or "").lower().replace(" ", "_")
    places = {label: lower.find(label) for label in labels if label in lower}
    return min(places, key=places.get) if places else None


def ask(rows, call):
    """Return each label with what the call says.

    Answers are kept, so that a run that was interrupted goes on where it ended, with ``--resume``.
    """
    frame = pa.table(
        {"text": [text for text, _ in rows], "label": [label for _, label in rows]}
    )
    with connect(STORE) as con:
        con.raw.register("t", frame)
        return con.sql(f"SELECT label, {call} FROM t").fetchall()


def accuracy(pairs):
    return sum(label == said for label, said in pairs) / len(pairs)


def confusion(pairs, labels):
    """Return a table: a row per label, a column per answer."""
    counts = Counter(pairs)
    answers = [*labels, *([None] if any(said is None for _, said in pairs) else [])]
    head = (
        "| label \\ answer | "
        + " | ".join("none" if a is None else a for a in answers)
        + " |"
    )
    lines = [
        f"| {label} | " + " | ".join(str(counts[label, a]) for a in answers) + " |"
        for label in labels
    ]
    return "\n".join([head, "|---" * (len(answers) + 1) + "|", *lines])


def compare(title, rows, labels, prompt):
    """Return the section that compares ai_classify with the plain prompt on the same texts."""
    array = ", ".join(f"'{label}'" for label in labels)
    function = ask(rows, f"ai_classify(text, [{array}])")
    replies = ask(rows, f"ai_query('{CHAT}', {prompt} || text)")
    plain = [(label, mentioned(reply, labels)) for label, reply in replies]
    missing = sum(said is None for _, said in plain)
    print(title, accuracy(function), accuracy(plain), flush=True)
    return f"""## {title}

{len(rows)} texts, {len(labels)} labels.

| | accuracy | no label in the reply |
|---|---|---|
| `ai_classify` | {accuracy(function):.3f} | {sum(said is None for _, said in function)} |
| plain `ai_query`, first label mentioned | {accuracy(plain):.3f} | {missing} |
| always the same label | {1 / len(labels):.3f} | |

`ai_classify`:

{confusion(function, labels)}

Plain prompt:

{confusion(plain, labels)}
"""


def schemas(rows):
    """Return the section on how many replies satisfy their schema."""
    lines = []
    frame = pa.table({"text": [text for text, _ in rows[:SCHEMA_ROWS]]})
    for name, call in SCHEMA_CALLS.items():
        with connect() as con:
            con.raw.register("t", frame)
            answers = con.sql(f"SELECT {call} FROM t").fetchall()
            endings = con.ledger.totals[CHAT].endings
        lines.append(
            f"| `{name}` | {len(answers)} | {endings['answered']} | {endings['unreadable']} |"
        )
        print(lines[-1], flush=True)
    head = "## Replies that satisfy their schema\n\n| call | rows | valid | violations |\n|---|---|---|---|\n"
    return head + "\n".join(lines) + "\n"


def neighbours(path):
    """Return the section on embeddings: the intent of the nearest other text, and what it costs beyond inference."""
    rows = read(path, "text", "category")
    frame = pa.table(
        {
            "i": range(len(rows)),
            "text": [text for text, _ in rows],
            "label": [label for _, label in rows],
        }
    )
    with connect() as con:
        con.raw.register("t", frame)
        started = time.monotonic()
        con.sql("CREATE TABLE e AS SELECT i, label, ai_embed(text) AS v FROM t")
        first = time.monotonic() - started
        kind = con.sql("SELECT v FROM e").types[0]
        started = time.monotonic()
        con.sql(
            "CREATE OR REPLACE TABLE e AS SELECT i, label, ai_embed(text) AS v FROM t"
        )
        again = time.monotonic() - started
        requests = next(iter(con.ledger.totals.values())).attempts
        share = nearest(con)
    print("neighbours", share, again, flush=True)
    return f"""## ai_embed: the nearest other text has the same intent

banking77, {len(rows):,} texts of 77 intents, each looked up among all others by cosine: **{share:.4f}**. Packaged
all-MiniLM-L6-v2, `{kind}`, {requests} requests, {first:.1f} s with inference; the same statement with every answer
known, that is all but inference (hashing the texts, {len(rows):,} x 384 floats into DuckDB, writing the table):
{again:.2f} s.
"""


def nearest(con):
    import numpy as np

    columns = con.sql("SELECT label, v FROM e ORDER BY i").to_arrow_table()
    vectors = (
        columns["v"].combine_chunks().flatten().to_numpy().reshape(len(columns), -1)
    )
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.array(columns["label"].to_pylist())
    right = 0
    for start in range(0, len(labels), 1000):
        cosines = vectors[start : start + 1000] @ vectors.T
        cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = -2
        right += int(
            (labels[cosines.argmax(axis=1)] == labels[start : start + 1000]).sum()
        )
    return right / len(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--banking77", type=Path)
    parser.add_argument(
        "--rows", type=int, help="only so many of each, to try it; writes nothing"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on where an interrupted run ended"
    )
    options = parser.parse_args()
    if not options.resume:
        STORE.unlink(missing_ok=True)
    messages = read(HERE / "messages.csv", "text", "sentiment")[: options.rows]
    parts = [
        compare("Sentiment of 300 messages", messages, SENTIMENTS, PLAIN_SENTIMENT)
    ]
    if options.banking77:
        per_intent = min(PER_INTENT, (options.rows or 10**6) // len(INTENTS) or 1)
        banking = read(options.banking77, "text", "category")
        slices = [
            [row for row in banking if row[1] == intent][:per_intent]
            for intent in INTENTS
        ]
        parts.append(
            compare(
                "Ten intents of banking77",
                [row for s in slices for row in s],
                INTENTS,
                PLAIN_INTENT,
            )
        )
        parts.append(neighbours(options.banking77))
    parts.append(schemas(messages))
    head = f"""# Quality on the local model

Written by `make bench-quality`: real inference with SmolLM2-135M-Instruct (Q4_1, 98 MB) in the process, temperature 0,
on {platform.machine()}. A model of this size is for trying and testing; what matters here is the difference between a
function and a plain prompt on the same model and texts.

The wording of `ai_classify` was chosen among eleven on 60 texts of each of the two sets below, which are part of what
is measured here: on other texts the difference may be smaller.

"""
    if options.rows is None:
        TARGET.write_text(head + "\n".join(parts), "utf-8")


if __name__ == "__main__":
    main()
