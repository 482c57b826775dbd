"""Find the query in a statement's text; the text around it is not changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import duckdb

from aiquery.engines.duckdb.syntax import (
    Tree,
    mentions_ai,
    parse,
    print_expression,
    print_query,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPEN = frozenset("([{")
_CLOSE = frozenset(")]}")
_STARTS = frozenset({"SELECT", "WITH", "FROM", "VALUES", "("})
_ENDS = frozenset({"RETURNING", "ON", "WITH", ";"})


@dataclass(frozen=True, slots=True)
class Word:
    """A token: its text in upper case, its start in bytes, and the number of open brackets there."""

    text: str
    start: int
    depth: int


@dataclass(kw_only=True, frozen=True, slots=True)
class Parts:
    """A statement as text around a query.

    can_prefetch   running the query alone sends no more requests than the statement
    inserts        the part of the query between ``head`` and ``tail``: all of it, only its WHERE, or nothing
    creates        name of the table of a CREATE TABLE without OR REPLACE
    is_empty       the statement uses none of the query's rows
    """

    head: str
    query: Tree
    tail: str
    can_prefetch: bool = True
    inserts: Literal["query", "condition", "nothing"] = "query"
    creates: str | None = None
    is_empty: bool = False

    def sql(self, query: Tree) -> str:
        """Return the statement with ``query`` instead of its own. Raises ``NotPrintable``."""
        text = print_query(query)
        if self.inserts == "nothing":
            return self.head + self.tail
        if self.inserts == "condition":
            text = print_expression(query["where_clause"])
        return f"{self.head}{text}{self.tail}"


def find_parts(sql: str) -> Parts | None:
    """Return a statement's parts; None if its query is not found."""
    query = parse(sql)
    if query is not None:
        return Parts(head="", query=query, tail="")
    words = list(_words(sql))
    if not words:
        return None
    find = {
        "CREATE": _create,
        "INSERT": _insert,
        "COPY": _copy,
        "MERGE": _merge,
        "UPDATE": _update,
        "DELETE": _delete,
    }
    found = find.get(words[0].text)
    return None if found is None else found(sql.encode(), words)


def find_view_query(sql: str) -> Tree | None:
    """Return the query of a CREATE VIEW; None if it is not found."""
    words = list(_words(sql))
    as_ = _first(words, "AS")
    found = None if as_ is None else _find_query(sql.encode(), words, as_.start)
    return None if found is None else found.query


def has_returning(sql: str) -> bool:
    """Return True if a statement that writes has rows of its own, besides DuckDB's count of written rows."""
    return any(word.text == "RETURNING" and word.depth == 0 for word in _words(sql))


def _words(sql: str) -> Iterator[Word]:
    raw = sql.encode()
    tokens = [
        (start, kind.name)
        for start, kind in duckdb.tokenize(sql)
        if kind.name != "comment"
    ]
    ends = [start for start, _ in tokens[1:]] + [len(raw)]
    depth = 0
    for (start, kind), end in zip(tokens, ends, strict=True):
        text = (
            raw[start:end].decode().split(None, 1)[0].upper()
            if kind in {"keyword", "identifier"}
            else ""
        )
        if kind == "operator":
            text = raw[start : start + 1].decode()
        if text in _CLOSE:
            depth -= 1
        yield Word(text, start, depth)
        if text in _OPEN:
            depth += 1


def _first(words: list[Word], *texts: str, after: int = -1) -> Word | None:
    return next(
        (
            word
            for word in words
            if word.depth == 0 and word.text in texts and word.start > after
        ),
        None,
    )


def _create(raw: bytes, words: list[Word]) -> Parts | None:
    table = _first(words, "TABLE")
    as_ = _first(words, "AS")
    if (
        table is None
        or as_ is None
        or any(
            word.text in {"VIEW", "MACRO", "FUNCTION"} for word in _before(words, table)
        )
    ):
        return None
    found = _find_query(raw, words, as_.start)
    if found is None:
        return None
    replaces = any(word.text == "REPLACE" for word in _before(words, table))
    name = [
        word
        for word in words
        if table.start < word.start < as_.start and word.depth == 0
    ]
    texts = [_text(raw, words, word) for word in name]
    ends = texts.index("(") if "(" in texts else len(texts)
    creates = None if replaces or not ends else texts[ends - 1].strip('"').lower()
    tail = found.tail.upper().split()
    return replace(found, creates=creates, is_empty=tail[-2:] == ["NO", "DATA"])


def _before(words: list[Word], word: Word) -> list[Word]:
    return [one for one in words if one.start < word.start]


def _text(raw: bytes, words: list[Word], word: Word) -> str:
    position = words.index(word)
    end = words[position + 1].start if position + 1 < len(words) else len(raw)
    return raw[word.start : end].decode().strip()


def _insert(raw: bytes, words: list[Word]) -> Parts | None:
    return _find_query(raw, words, words[0].start)


def _find_query(raw: bytes, words: list[Word], after: int) -> Parts | None:
    """Find the query that begins after a word and ends before a word outside of it."""
    ends = [len(raw)] + [
        w.start for w in reversed(words) if w.depth == 0 and w.text in _ENDS
    ]
    for start in (
        w.start for w in words if w.depth == 0 and w.text in _STARTS and w.start > after
    ):
        for end in (end for end in ends if end > start):
            query = parse(raw[start:end].decode())
            if query is not None:
                return Parts(
                    head=raw[:start].decode(), query=query, tail=_separate(raw[end:])
                )
    return None


def _separate(tail: bytes) -> str:
    return f"\n{tail.decode()}" if tail else ""


def _copy(raw: bytes, words: list[Word]) -> Parts | None:
    return _find_bracketed(raw, words, words[0])


def _merge(raw: bytes, words: list[Word]) -> Parts | None:
    using = _first(words, "USING")
    found = None if using is None else _find_bracketed(raw, words, using)
    if found is None:
        return None
    elsewhere = mentions_ai(found.head + found.tail)
    return (
        replace(found, can_prefetch=False) if elsewhere else found
    )  # calls in ON or SET depend on what matches


def _find_bracketed(raw: bytes, words: list[Word], before: Word) -> Parts | None:
    """Find the query in the bracket after a word."""
    position = words.index(before) + 1
    if position >= len(words) or words[position].text != "(":
        return None
    start = words[position].start + 1
    close = _first(words, ")", after=start)
    query = None if close is None else parse(raw[start : close.start].decode())
    if close is None or query is None:
        return None
    return Parts(
        head=raw[:start].decode(), query=query, tail=_separate(raw[close.start :])
    )


def _delete(raw: bytes, words: list[Word]) -> Parts | None:
    where = _first(words, "WHERE")
    target = _first(words, "FROM")
    if where is None or target is None or _first(words, "USING") is not None:
        return None
    return _find_condition(
        raw,
        words,
        where,
        f"SELECT 1 FROM {raw[target.start + 4 : where.start].decode()}",
        [],
    )


def _update(raw: bytes, words: list[Word]) -> Parts | None:
    set_ = _first(words, "SET")
    where = _first(words, "WHERE")
    if set_ is None or _first(words, "FROM") is not None:
        return None
    returning = _first(words, "RETURNING")
    after = where or returning
    end = after.start if after else len(raw)
    target = raw[words[0].start + 6 : set_.start].decode()
    assigned = parse(
        f"SELECT {raw[set_.start + 3 : end].decode().rstrip().rstrip(';')}"
    )
    values = (
        [] if assigned is None else [_value(item) for item in assigned["select_list"]]
    )
    if not values or None in values:
        return None
    known = [value for value in values if value is not None]
    if where is not None:
        return _find_condition(raw, words, where, f"SELECT 1 FROM {target}", known)
    reads = parse(f"SELECT 1 FROM {target}")
    if reads is None:
        return None
    reads["select_list"] = known
    return Parts(head=raw.decode(), query=reads, tail="", inserts="nothing")


def _value(assignment: Tree) -> Tree | None:
    """Return the value of ``column = value``."""
    known = (
        assignment["type"] == "COMPARE_EQUAL"
        and assignment["left"]["class"] == "COLUMN_REF"
    )
    value: Tree | None = assignment["right"] if known else None
    return value


def _find_condition(
    raw: bytes, words: list[Word], where: Word, source: str, values: list[Tree]
) -> Parts | None:
    ends = [
        word.start
        for word in words
        if word.depth == 0
        and word.text in {"RETURNING", ";"}
        and word.start > where.start
    ]
    end = min(ends, default=len(raw))
    start = where.start + len("WHERE")
    query = parse(f"{source} WHERE {raw[start:end].decode()}")
    if query is None:
        return None
    if values:
        query["select_list"] = values
    return Parts(
        head=f"{raw[:start].decode()} ",
        query=query,
        tail=_separate(raw[end:]),
        inserts="condition",
    )
