"""Embeddings in the process: texts/s and vectors of ``local`` and of sentence-transformers, side by side in one run.

    python benchmarks/embedding_models.py [--rows 1024] [--texts ../shared/data/banking77_train.csv]

Needs the extra 'embeddings' (torch). Without --texts it makes questions of the same length.
"""

from __future__ import annotations

import argparse
import csv
import random
import time
from pathlib import Path

import pyarrow as pa

import aiquery

ENDPOINTS = {"local": "local:all-minilm-l6-v2", "torch": "sentence_transformers:all-minilm-l6-v2"}
REPEATS = 3
WORDS = "card lost pin bank transfer my the a is what when top up fee rate how can i do if not"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--texts", type=Path)
    options = parser.parse_args()
    texts = draw_texts(options)
    vectors = {}
    rates = {name: [] for name in ENDPOINTS}
    for _ in range(REPEATS):
        for name, endpoint in ENDPOINTS.items():
            rate, vectors[name] = measure(endpoint, texts)
            rates[name].append(rate)
            print(f"{name}: {rate:.0f} texts/s", flush=True)
    cosines = (vectors["local"] * vectors["torch"]).sum(axis=1)
    best = {name: max(values) for name, values in rates.items()}
    print(f"{len(texts)} texts, best of {REPEATS}: {best}, ratio {best['local'] / best['torch']:.2f}")
    print(f"cosine of the two: at least {cosines.min():.7f}")
    measure_overhead(texts)


def draw_texts(options):
    source = random.Random(3)
    if options.texts is None:
        return [" ".join(source.choices(WORDS.split(), k=source.randint(5, 20))) + f" {i}" for i in range(options.rows)]
    with options.texts.open(newline="") as file:
        texts = list(dict.fromkeys(row["text"] for row in csv.DictReader(file)))
    return source.sample(texts, min(options.rows, len(texts)))


def measure(endpoint, texts):
    """Return texts/s through SQL without the loading of the model, and the vectors."""
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        con.sql(f"SELECT ai_embed('warm up', endpoint => '{endpoint}')")
        con.raw.register("t", pa.table({"i": range(len(texts)), "s": texts}))
        started = time.monotonic()
        con.sql(f"CREATE TABLE e AS SELECT i, ai_embed(s, endpoint => '{endpoint}') AS v FROM t")
        seconds = time.monotonic() - started
        column = con.sql("SELECT v FROM e ORDER BY i").to_arrow_table()["v"].combine_chunks()
    return len(texts) / seconds, column.flatten().to_numpy().reshape(len(texts), -1)


def measure_overhead(texts, rows=10_003):
    """Print the seconds beyond inference: the same statements with every answer known."""
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        many = [f"{text} {i}" for i, text in zip(range(rows), texts * (rows // len(texts) + 1), strict=False)]
        con.raw.register("t", pa.table({"s": many}))
        for name, call in (("ai_embed", "ai_embed(s)"), ("ai_similarity", "ai_similarity(s, 'a lost card')")):
            con.sql(f"CREATE OR REPLACE TABLE e AS SELECT {call} AS v FROM t")
            started = time.monotonic()
            con.sql(f"CREATE OR REPLACE TABLE e AS SELECT {call} AS v FROM t")
            print(f"{name}: {time.monotonic() - started:.2f} s beyond inference for {rows:,} rows", flush=True)


if __name__ == "__main__":
    main()
