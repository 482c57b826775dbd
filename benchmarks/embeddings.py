"""Embeddings over HTTP: requests and seconds, in batches and one text at a time; and everything except inference.

python benchmarks/embeddings.py [--rows 10003]
"""

from __future__ import annotations

import argparse
import time
from functools import cache

import aiquery
from aiquery.testing import EndpointServer, documents

TEXT = "repeat('a question about card number ', 1 + i % 4) || i"


def embed(server, rows, **settings):
    """Return the seconds of a statement, and those of the same statement with all answers cached."""
    endpoint = server.endpoint(task="embedding", dimensions=384, **settings)
    config = {"endpoints": {"e": endpoint}, "defaults": {"embedding": "e"}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        seconds = []
        for _ in range(2):
            started = time.monotonic()
            con.sql(f"CREATE OR REPLACE TABLE e AS SELECT ai_embed({TEXT}) AS v FROM range({rows}) r(i)")
            seconds.append(time.monotonic() - started)
        return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_003)
    rows = parser.parse_args().rows
    # the computation of the endpoint is not measured
    documents.draw_vector = cache(documents.draw_vector)
    print("texts    per request   requests   texts/request   s first   s again, all known", flush=True)
    with EndpointServer(latency=0.05, dimensions=384, keep=False) as server:
        for size in (1, None, 1, None):  # the first round fills the cache of vectors
            server.forget()
            first, cached = embed(server, rows, max_batch_size=size)
            requests = f"{server.calls:<10} {rows / server.calls:<15.1f}"
            print(f"{rows:<8} {size or 'default':<13} {requests} {first:<9.2f} {cached:.2f}", flush=True)


if __name__ == "__main__":
    main()
