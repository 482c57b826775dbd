"""Sends one request for each hostile reply and prints, as JSON, its highest memory above idle in MB, and its error."""

import gc
import json
import sys
from pathlib import Path

from tests.security.hostile_server import REPLIES

import aiquery

STATUS = Path("/proc/self/status")
TYPES = ("ARRAY<STRING>", "STRING")


def read_mb(field):
    for line in STATUS.read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise ValueError(field)


def ask(con, name, ddl):
    call = f"ai_query('chat', ?, returnType => '{ddl}', failOnError => false)"
    if "vector" in name:
        call = "ai_query('embed', ?, failOnError => false)"
    (row,) = con.execute(f"SELECT ({call}).errorMessage", [name]).fetchall()
    return row[0]


def measure(con, name, ddl):
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak to the present memory
    before = read_mb("VmRSS")
    error = ask(con, name, ddl)
    return read_mb("VmHWM") - before, error


def main(port):
    settings = {
        "base_url": f"http://127.0.0.1:{port}/v1",
        "max_attempts": 1,
        "timeout": {"attempt_s": 20, "total_s": 20},
    }
    endpoints = {"chat": settings, "embed": {**settings, "task": "embedding"}}
    found = {}
    with aiquery.connect(config={"endpoints": endpoints, "cache": {"store": "memory:"}}) as con:
        for ddl in TYPES:
            ask(con, f"idle {ddl}", ddl)
        for name in REPLIES:
            for ddl in TYPES[:1] if "vector" in name else TYPES:
                found[f"{name}, {ddl}"] = measure(con, name, ddl)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
