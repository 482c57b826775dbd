"""The model in the process: rows/s through SQL and of direct calls of ``xllamacpp``, functions, labels by each way.

Both have the same requests and slots, and run in turns. The replies are constrained by a schema.

    python benchmarks/local_model.py [--rows 48] [--functions 48] [--valid 200]
"""

import csv
import json
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import typer

import aiquery
from aiquery.providers.local.llama_server import ModelSettings, load
from aiquery.providers.local.model_file import find_model
from aiquery.providers.local.settings import CONTEXT, PACKAGED, usual_threads
from aiquery.providers.local.tuning import SLOTS

NAME = f"local:{PACKAGED}"
TOKENS = 16
ENUM = {"type": "object", "properties": {"mood": {"enum": ["GOOD", "BAD", "MIXED"]}}, "required": ["mood"]}
FORMS = {
    "enum": "responseFormat => '" + json.dumps({"type": "json_schema", "json_schema": {"schema": ENUM}}) + "'",
    "number": "returnType => 'DOUBLE'",
    "nested struct": "returnType => 'STRUCT<name: STRING, place: STRUCT<city: STRING, zip: INT>>'",
    "array": "returnType => 'ARRAY<STRING>'",
}


def make_texts(rows, run):
    return [f"Client {run}: is the ticket number {i} about a card or about a parcel?" for i in range(rows)]


def measure_sql(rows, run):
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        con.sql(f"SELECT ai_query('{NAME}', 'warm-up', modelParameters => {{'max_tokens': 1}})")
        con.execute("CREATE TABLE t AS SELECT unnest($1) AS s", [make_texts(rows, run)])
        started = time.monotonic()
        con.sql(f"CREATE TABLE o AS SELECT ai_query('{NAME}', s, modelParameters => {{'max_tokens': {TOKENS}}}) FROM t")
        return rows / (time.monotonic() - started)


def measure_xllamacpp(rows, run):
    server = load(
        ModelSettings(path=find_model(PACKAGED), task="chat", slots=SLOTS, context=CONTEXT, threads=usual_threads())
    )

    def complete(text):
        messages = [{"role": "user", "content": text}]
        reply = server.handle_chat_completions({"messages": messages, "max_tokens": TOKENS, "temperature": 0.0})
        return reply["choices"][0]["message"]["content"]

    with ThreadPoolExecutor(SLOTS) as pool:
        complete("warm-up")
        started = time.monotonic()
        assert len(list(pool.map(complete, make_texts(rows, run)))) == rows
        return rows / (time.monotonic() - started)


def measure_choices(rows):
    """Print rows/s of ai_classify for each way to choose a label, in turns, and the memory of the process."""
    ways = ("generation", "token_probabilities", "embeddings")
    for run in range(2):
        for way in ways:
            endpoint = {"provider": "local", "model": PACKAGED, "options": {"choose_by": way}}
            config = {"endpoints": {"m": endpoint}, "cache": {"store": "memory:"}}
            call = "ai_classify(s, ['card', 'parcel', 'account'], endpoint => 'm')"
            with aiquery.connect(config=config) as con:
                con.sql(f"SELECT {call} FROM (SELECT 'warm-up' AS s)")
                con.execute("CREATE TABLE t AS SELECT unnest($1) AS s", [make_texts(rows, run)])
                started = time.monotonic()
                con.sql(f"CREATE TABLE o AS SELECT {call} FROM t")
                seconds = time.monotonic() - started
            print(f"ai_classify by {way}: {rows / seconds:.1f} rows/s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the process with both models: {peak:.0f} MB")


def measure_functions(rows):
    """Print rows/s of functions whose answers the model writes, on the messages of the quality benchmark."""
    with (Path(__file__).parent / "quality" / "messages.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)][:rows]
    calls = {"ai_extract": "ai_extract(s, ['product', 'problem'])", "ai_summarize": "ai_summarize(s, 10)"}
    for name, call in calls.items():
        with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
            con.sql(f"SELECT ai_query('{NAME}', 'warm-up', modelParameters => {{'max_tokens': 1}})")
            con.execute("CREATE TABLE t AS SELECT unnest($1) AS s", [texts])
            started = time.monotonic()
            con.sql(f"CREATE TABLE o AS SELECT {call} FROM t")
            print(f"{name}: {len(texts) / (time.monotonic() - started):.2f} rows/s")


def measure_validity(rows):
    rows_per_form = rows // len(FORMS)
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        message = "'Ticket ' || i || ': Ana lost her card in Bonn, 5311' || (i % 10) || '.'"
        con.execute(f"CREATE TABLE t AS SELECT {message} AS s FROM range({rows_per_form}) r(i)")
        for name, form in FORMS.items():
            started = time.monotonic()
            answers = con.sql(f"SELECT ai_query('{NAME}', s, {form}, failOnError => false) AS a FROM t").fetchall()
            seconds = time.monotonic() - started
            errors = [answer["errorMessage"] for (answer,) in answers]
            valid = errors.count(None)
            print(f"{name}: {valid} of {rows_per_form} valid, {seconds:.0f} s")
            print(*(error[:200] for error in errors if error), sep="\n")


def main(rows: int = 48, repeats: int = 3, functions: int = 48, choices: int = 96, valid: int = 200):
    sql = []
    direct = []
    for run in range(repeats):
        direct.append(measure_xllamacpp(rows, run))
        sql.append(measure_sql(rows, run))
        print(f"rows/s: xllamacpp directly {direct[-1]:.2f}, through SQL {sql[-1]:.2f}")
    if repeats:
        print(f"share (best of {repeats} each): {max(sql) / max(direct):.3f}")
    if functions:
        measure_functions(functions)
    if choices:
        measure_choices(choices)
    if valid:
        measure_validity(valid)


if __name__ == "__main__":
    typer.run(main)
