"""The model in the process: rows/s through SQL beside ``xllamacpp`` called directly with the same requests and slots,
interleaved; and how many schema-constrained replies are valid.

    python benchmarks/local_model.py [--rows 48] [--valid 200]
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import typer

import aiquery
from aiquery.providers import local
from aiquery.providers.llama_model import ModelSettings, load
from aiquery.providers.model_file import PACKAGED, find_model

NAME = f"local:{PACKAGED}"
TOKENS = 16
ENUM = {
    "type": "object",
    "properties": {"mood": {"enum": ["GOOD", "BAD", "MIXED"]}},
    "required": ["mood"],
}
FORMS = {
    "enum": "responseFormat => '"
    + json.dumps({"type": "json_schema", "json_schema": {"schema": ENUM}})
    + "'",
    "number": "returnType => 'DOUBLE'",
    "nested struct": "returnType => 'STRUCT<name: STRING, place: STRUCT<city: STRING, zip: INT>>'",
    "array": "returnType => 'ARRAY<STRING>'",
}


def texts(rows, run):
    return [
        f"Client {run}: is the ticket number {i} about a card or about a parcel?"
        for i in range(rows)
    ]


def through_sql(rows, run):
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        con.sql(
            f"SELECT ai_query('{NAME}', 'warm-up', modelParameters => {{'max_tokens': 1}})"
        )
        con.execute("CREATE TABLE t AS SELECT unnest($1) AS s", [texts(rows, run)])
        started = time.monotonic()
        con.sql(
            f"CREATE TABLE o AS SELECT ai_query('{NAME}', s, modelParameters => {{'max_tokens': {TOKENS}}}) FROM t"
        )
        return rows / (time.monotonic() - started)


def directly(rows, run):
    server = load(
        ModelSettings(
            path=find_model(PACKAGED),
            slots=local.SLOTS,
            context=local.CONTEXT,
            threads=local.default_threads(),
        )
    )

    def ask(text):
        messages = [{"role": "user", "content": text}]
        reply = server.handle_chat_completions(
            {"messages": messages, "max_tokens": TOKENS, "temperature": 0.0}
        )
        return reply["choices"][0]["message"]["content"]

    with ThreadPoolExecutor(local.SLOTS) as pool:
        ask("warm-up")
        started = time.monotonic()
        assert len(list(pool.map(ask, texts(rows, run)))) == rows
        return rows / (time.monotonic() - started)


def validity(rows):
    each = rows // len(FORMS)
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        message = (
            "'Ticket ' || i || ': Ana lost her card in Bonn, 5311' || (i % 10) || '.'"
        )
        con.execute(f"CREATE TABLE t AS SELECT {message} AS s FROM range({each}) r(i)")
        for name, form in FORMS.items():
            started = time.monotonic()
            answers = con.sql(
                f"SELECT ai_query('{NAME}', s, {form}, failOnError => false) AS a FROM t"
            ).fetchall()
            valid = sum(answer["errorMessage"] is None for (answer,) in answers)
            print(
                f"{name}: {valid} of {each} valid, {time.monotonic() - started:.0f} s"
            )
            print(
                *(a["errorMessage"][:200] for (a,) in answers if a["errorMessage"]),
                sep="\n",
            )


def main(rows: int = 48, repeats: int = 3, valid: int = 200):
    ours, theirs = [], []
    for run in range(repeats):
        theirs.append(directly(rows, run))
        ours.append(through_sql(rows, run))
        print(
            f"rows/s: xllamacpp directly {theirs[-1]:.2f}, through SQL {ours[-1]:.2f}"
        )
    if repeats:
        print(f"share (best of {repeats} each): {max(ours) / max(theirs):.3f}")
    if valid:
        validity(valid)


if __name__ == "__main__":
    typer.run(main)
