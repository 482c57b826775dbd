"""Values of both engines in one form, for the records of what Spark answered: ``records/*.jsonl``."""

import datetime as dt
import decimal
import json
import math
from pathlib import Path

RECORDS = Path(__file__).parent / "records"


def normalize(value):
    """Return a value as JSON: numbers to nine digits, times without a zone, structs as the list of their values."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float | decimal.Decimal):
        return _normalize_number(value)
    if isinstance(value, dt.date | dt.time | bytes | bytearray):
        return _normalize_scalar(value)
    if isinstance(value, dict):
        return _normalize_dict(value)
    if isinstance(value, list | tuple):  # a row of Spark is a tuple
        return [normalize(one) for one in value]
    return str(value)


def _normalize_scalar(value):
    if isinstance(value, bytes | bytearray):
        return {"bytes": bytes(value).hex()}
    return (value.replace(tzinfo=None) if isinstance(value, dt.datetime) else value).isoformat()


def _normalize_number(value):
    number = float(value)
    if math.isnan(number) or math.isinf(number):
        return str(number)
    return float(f"{number:.9g}")


def _normalize_dict(value):
    """DuckDB's structs and maps are both dicts; Spark's maps are dicts, and its structs are rows."""
    return {"map": sorted(json.dumps([normalize(key), normalize(one)]) for key, one in value.items())}


def normalize_struct(value):
    """Return a value of DuckDB with its dicts as structs."""
    if isinstance(value, dict):
        return [normalize_struct(one) for one in value.values()]
    if isinstance(value, list | tuple):
        return [normalize_struct(one) for one in value]
    return normalize(value)


def sort_rows(rows):
    """Return rows in one order: a query without ORDER BY has none."""
    return sorted(rows, key=json.dumps)


def read(name):
    """Return the records of a file."""
    lines = (RECORDS / name).read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines if line]
