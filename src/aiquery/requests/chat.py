"""Build the messages of a chat request, and the follow-up that repairs a reply that did not parse."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, cast

import msgspec

from aiquery.errors import RequestFailed, excerpt

if TYPE_CHECKING:
    from aiquery.requests.request import Content, Message, Request

_SIGNATURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)

REPAIR_VERSION = "1"
_REPAIR = (
    "That reply could not be used: {problem}. Answer the question again, with nothing but the corrected reply in the "
    "format that was asked for."
)


def image_type(data: bytes) -> str:
    """Return the media type that the bytes themselves show; anything but JPEG, PNG, GIF and WebP is a row error."""
    for signature, kind in _SIGNATURES:
        if data.startswith(signature):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    raise RequestFailed(
        f"files: {len(data)} bytes that are not a JPEG, PNG, GIF or WebP image were given; convert the image first."
    )


def chat_messages(request: Request) -> list[Message]:
    """Return the conversation of a request in OpenAI's form; an image goes beside the last user text."""
    content = request.content
    if request.template.prompt is not None:
        return [*request.template.prompt.messages(content), *request.follow_up]
    if isinstance(content, dict):
        raise RequestFailed(
            f"a chat endpoint takes a STRING or STRUCT<messages ARRAY<STRUCT<role, content>>>, not a record with the "
            f"fields {', '.join(content)}; set task = 'custom' if {request.template.endpoint!r} takes records."
        )
    if isinstance(content, str) and request.image is None:
        return [{"role": "user", "content": content}, *request.follow_up]
    messages = _conversation(content)
    if not messages or not all(
        {"role", "content"} <= set(message) for message in messages
    ):
        raise RequestFailed(
            "messages must be a non-empty ARRAY<STRUCT<role: STRING, content: STRING>> without NULLs."
        )
    if request.image is None:
        return [*messages, *request.follow_up]
    url = f"data:{image_type(request.image)};base64,{b64encode(request.image).decode()}"
    last = messages[-1]
    parts = [
        {"type": "text", "text": last["content"]},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    return [*messages[:-1], {**last, "content": parts}, *request.follow_up]


def _conversation(content: Content) -> list[Message]:
    if isinstance(content, str):
        return [{"role": "user", "content": content}]
    return cast("list[Message]", list(content))


def repair(request: Request, reply: str, problem: str) -> Request:
    """Return the follow-up that shows the model its own reply and what was wrong with it."""
    follow_up: tuple[Message, ...] = (
        {"role": "assistant", "content": reply},
        {"role": "user", "content": _REPAIR.format(problem=excerpt(problem))},
    )
    return msgspec.structs.replace(request, follow_up=follow_up)
