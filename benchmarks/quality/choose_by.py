"""How a local model should choose one of a few values: by embeddings, by token probabilities, or by writing it.

    python benchmarks/quality/choose_by.py --model smollm2-135m-instruct [--rows 60]
    python benchmarks/quality/choose_by.py --model /models/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf

It uses the training texts only, so that the choice does not depend on the texts of docs/quality.md.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict

import pyarrow as pa
from run import HERE, SENTIMENTS, compute_accuracy, read, read_rows

import aiquery

WAYS = ("generation", "token_probabilities", "embeddings")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--rows", type=int, default=60)
    options = parser.parse_args()
    tasks = draw_tasks(options.rows)
    print("way", *tasks, "rows/s", sep="\t")
    for way in WAYS:
        endpoint = {"provider": "local", "model": options.model, "options": {"choose_by": way}}
        config = {"endpoints": {"m": endpoint}, "defaults": {"chat": "m"}, "cache": {"store": "memory:"}}
        with aiquery.connect(config=config) as con:
            con.sql("SELECT ai_classify('warm up', ['a', 'b'])")
            started = time.monotonic()
            figures = [f"{measure(con, rows, call):.3f}" for rows, call in tasks.values()]
            seconds = time.monotonic() - started
        count = sum(len(rows) for rows, _ in tasks.values())
        print(way, *figures, f"{count / seconds:.1f}", sep="\t", flush=True)


def measure(con, rows, call):
    """Return the share of rows whose answer is their label."""
    frame = pa.table({name: [row[i] for row in rows] for i, name in enumerate(("text", "label", "condition"))})
    con.raw.register("t", frame)
    pairs = con.sql(f"SELECT label, CAST({call} AS VARCHAR) FROM t").fetchall()
    return compute_accuracy(pairs)


def draw_tasks(count):
    """Return the rows (text, label, condition) and the call of each task."""
    source = random.Random(4)
    sentiments = [row for row in read(HERE / "sentiment_train.csv", "text", "sentiment") if row[1] in SENTIMENTS]
    tasks = {"sentiment": (sentiments, classify(SENTIMENTS))}
    topics = defaultdict(list)
    for row in read_rows(HERE / "topics_train.csv"):
        topics[row["task"]].append((row["text"], row["label"]))
    for task in ("customer support intent", "news section"):
        labels = list(dict.fromkeys(label for _, label in topics[task]))
        tasks[task] = (topics[task], classify(labels))
    conditions = [(row["text"], row["label"], row["condition"]) for row in read_rows(HERE / "filter_train.csv")]
    tasks["filter"] = (conditions, "ai_filter(text, condition)")
    drawn = {}
    for task, (rows, call) in tasks.items():
        chosen = source.sample(rows, min(count, len(rows)))
        drawn[task] = ([(*row, "")[:3] for row in chosen], call)
    return drawn


def classify(labels):
    names = ", ".join(f"'{label}'" for label in labels)
    return f"ai_classify(text, [{names}])"


if __name__ == "__main__":
    main()
