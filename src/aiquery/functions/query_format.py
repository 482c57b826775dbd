"""Chooses the format of ``ai_query``'s replies from its arguments and the endpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from aiquery.errors import UnsupportedResponseFormat, UnsupportedReturnType, excerpt
from aiquery.limits import MAX_JSON_DEPTH
from aiquery.requests.json_schema import build_validator
from aiquery.requests.nesting import measure_json_depth
from aiquery.requests.parsing import (
    JSONParser,
    TextParser,
    TypedParser,
    ValueParser,
    VectorParser,
)
from aiquery.requests.sql_types import EMBEDDING, STRING, SQLType, parse_ddl, to_ddl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.config.endpoint import Endpoint

Parser: TypeAlias = TextParser | JSONParser | TypedParser | VectorParser


@dataclass(frozen=True)
class ReplyFormat:
    """How a reply is constrained and parsed.

    parser            parses the reply
    answer_type       the type of an answer
    response_format   constrains the reply, in OpenAI's format; None: the reply is not constrained
    """

    parser: Parser
    answer_type: SQLType
    response_format: dict[str, Any] | None = None

    def build_key(self) -> str:
        """Return the format as part of the cache key. All functions share embeddings."""
        if isinstance(self.parser, VectorParser):
            return self.parser.key_name
        return f"{self.parser.key_name} {to_ddl(self.answer_type)}"


def choose_format(arguments: Mapping[str, Any], endpoint: Endpoint) -> ReplyFormat:
    """Return the format that the arguments request.

    Raises ``UnsupportedReturnType`` or ``UnsupportedResponseFormat``.
    """
    ddl = arguments.get("returnType")
    if not isinstance(ddl, str | None):
        raise UnsupportedReturnType(
            f"ai_query: returnType must be a constant STRING, not {excerpt(repr(ddl))}."
        )
    return_type = parse_ddl(ddl) if ddl is not None else None
    requested = arguments.get("responseFormat")
    if endpoint.task == "chat":
        return _choose_chat_format(return_type, requested)
    if requested is not None:
        raise UnsupportedResponseFormat(
            f"responseFormat: {endpoint.name!r} is not a chat endpoint. Remove it."
        )
    if endpoint.task == "embedding":
        return ReplyFormat(VectorParser(), return_type or EMBEDDING)
    declared = return_type or parse_ddl(endpoint.return_type or "STRING")
    return ReplyFormat(ValueParser(declared), declared)


def _choose_chat_format(return_type: SQLType | None, requested: object) -> ReplyFormat:
    response_format = _read_response_format(requested)
    if response_format is not None and response_format["type"] == "text":
        response_format = None
    if return_type is not None and return_type != STRING:
        typed = TypedParser(return_type)
        if response_format is None:
            response_format = typed.build_response_format()
        return ReplyFormat(typed, return_type, response_format)
    if response_format is not None:
        schema = response_format.get("json_schema", {}).get("schema")
        return ReplyFormat(JSONParser(schema), STRING, response_format)
    return ReplyFormat(TextParser(), STRING)


def _read_response_format(value: object) -> dict[str, Any] | None:
    """Return OpenAI's form of ``responseFormat``, which is JSON text or DDL text."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnsupportedResponseFormat(
            f"responseFormat must be a constant STRING, not {excerpt(repr(value))}."
        )
    if not value.lstrip().startswith("{"):
        return _read_ddl(value)
    if measure_json_depth(value) > MAX_JSON_DEPTH:
        raise UnsupportedResponseFormat(
            f"responseFormat is nested more than {MAX_JSON_DEPTH} levels deep."
        )
    try:
        document = json.loads(value)
    except json.JSONDecodeError as error:
        raise UnsupportedResponseFormat(
            f"responseFormat is malformed JSON: {error}. It was {excerpt(value)!r}"
        ) from None
    form = document.get("type")
    if form in {"text", "json_object"}:
        return {"type": form}
    if form != "json_schema":
        raise UnsupportedResponseFormat(
            f"responseFormat: type must be text, json_object or json_schema, not {form!r}."
        )
    return _read_schema(document)


def _read_schema(document: dict[str, Any]) -> dict[str, Any]:
    inner = document.get("json_schema")
    if not isinstance(inner, dict) or not isinstance(inner.get("schema"), dict):
        raise UnsupportedResponseFormat(
            "responseFormat: json_schema needs a schema: "
            '{"type":"json_schema","json_schema":{"schema":{..}}}.'
        )
    try:
        build_validator(inner["schema"])
    except (ValueError, RecursionError) as error:
        raise UnsupportedResponseFormat(
            f"responseFormat: the schema is not a JSON Schema: {excerpt(str(error))}"
        ) from None
    return {"type": "json_schema", "json_schema": {"name": "answer", **inner}}


def _read_ddl(ddl: str) -> dict[str, Any]:
    try:
        sql_type = parse_ddl(ddl)
    except UnsupportedReturnType as error:
        raise UnsupportedResponseFormat(
            f"responseFormat is neither JSON nor DDL: {error.message}"
        ) from None
    fields = sql_type.fields
    if len(fields) != 1 or fields[0][1].name != "STRUCT":
        raise UnsupportedResponseFormat(
            f"responseFormat {excerpt(ddl)!r}: DDL must have exactly one top-level field, which is "
            "a STRUCT, e.g. 'STRUCT<answer: STRUCT<a: STRING>>'."
        )
    return TypedParser(fields[0][1]).build_response_format()
