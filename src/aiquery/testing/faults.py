"""All faults of an endpoint by name: transient ones, and permanent ones."""

from __future__ import annotations

from aiquery.testing.answer import Answer

TRANSIENT = {
    "429 with Retry-After": Answer(status=429, headers={"Retry-After": "0.01"}),
    "429 without": Answer(status=429),
    "500": Answer(status=500),
    "502, HTML": Answer(status=502, body=b"<html>bad gateway</html>"),
    "503": Answer(status=503),
    "504": Answer(status=504),
    "529": Answer(status=529),
    "408": Answer(status=408),
    "reset before headers": Answer(fate="reset"),
    "reset in the body": Answer(cut_after=10),
    "wrong content-length": Answer(content_length=100_000),
    "truncated JSON": Answer(body=b'{"choices": [{"mess'),
    "HTML instead of JSON": Answer(body=b"<!doctype html><p>hello"),
    "invalid UTF-8": Answer(
        body=b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'
    ),
    "never answers": Answer(fate="silence"),
    "slow drip": Answer(drip_s=1.0),
}
PERMANENT = {
    "200 with an error object": Answer(body=b'{"error": {"message": "no"}}'),
    "empty choices": Answer(body=b'{"choices": []}'),
    "content filter": Answer(finish_reason="content_filter"),
    "redirect": Answer(
        status=307, headers={"Location": "http://127.0.0.1:1/elsewhere"}
    ),
    "50 MB body": Answer(body=b" " * 50_000_000),
}
