"""The messages of a chat request, and of the follow-up that repairs a reply which did not parse."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple, cast

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

_LINE_BREAK = re.compile("[\x85\u2028\u2029]")
"""Line breaks that JSON does not escape."""

_REPAIR = (
    "That reply could not be used. The problem, as a JSON string: {problem}. Answer the question again, with nothing "
    "but the corrected reply in the format that was asked for."
)


def detect_image_type(data: bytes) -> str:
    """Return the media type of an image from its first bytes.

    Raises ``RequestFailed`` for anything but JPEG, PNG, GIF and WebP.
    """
    for signature, media_type in _SIGNATURES:
        if data.startswith(signature):
            return media_type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    raise RequestFailed(
        f"files: {len(data)} bytes that are not a JPEG, PNG, GIF or WebP image were given; convert "
        "the image first."
    )


def build_messages(request: Request) -> list[Message]:
    """Return the conversation of a request in OpenAI's format. Raises ``RequestFailed``.

    An image is placed beside the text of the last message.
    """
    content = request.content
    prompt = request.template.prompt
    if prompt is not None:
        return [*prompt.build_messages(content), *request.follow_up]
    if isinstance(content, str) and request.image is None:
        return [{"role": "user", "content": content}, *request.follow_up]
    messages = _conversation(content, request.template.endpoint)
    if request.image is not None:
        messages[-1] = _add_image(messages[-1], request.image)
    return [*messages, *request.follow_up]


def _conversation(content: Content, endpoint: str) -> list[Message]:
    """Return a new list of the messages that ``content`` holds. Raises ``RequestFailed``."""
    if isinstance(content, str):
        return [{"role": "user", "content": content}]
    if isinstance(content, dict):
        raise RequestFailed(
            "a chat endpoint takes a STRING or STRUCT<messages ARRAY<STRUCT<role, content>>>, not a "
            f"record with the fields {', '.join(content)}; set task = 'custom' if {endpoint!r} "
            "takes records."
        )
    messages = cast("list[Message]", list(content))
    is_complete = all({"role", "content"} <= set(message) for message in messages)
    if not messages or not is_complete:
        raise RequestFailed(
            "messages must be a non-empty ARRAY<STRUCT<role: STRING, content: STRING>> without "
            "NULLs."
        )
    return messages


def _add_image(message: Message, image: bytes) -> Message:
    url = f"data:{detect_image_type(image)};base64,{b64encode(image).decode()}"
    parts = [
        {"type": "text", "text": message["content"]},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    return {**message, "content": parts}


class Image(NamedTuple):
    """An image of a message: its media type, and its bytes in base64."""

    media_type: str
    data: str


def split_image(part: object) -> Image | None:
    """Return the image of a part in OpenAI's format; None for another part, and for the address of an image."""
    if not isinstance(part, dict) or part.get("type") != "image_url":
        return None
    url = str(part["image_url"]["url"])
    head, _, data = url.partition(";base64,")
    if not head.startswith("data:") or not data:
        return None
    return Image(head.removeprefix("data:"), data)


def to_json_line(text: str) -> str:
    r"""Return a text as a JSON string without a line break: it cannot pose as several, or as an instruction.

    >>> to_json_line("good\n- bad")
    '"good\\n- bad"'
    """
    line = json.dumps(text, ensure_ascii=False)
    return _LINE_BREAK.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def repair(request: Request, reply: str, problem: str) -> Request:
    """Return the request again, followed by the model's reply and the problem with it."""
    follow_up: tuple[Message, ...] = (
        {"role": "assistant", "content": reply},
        {
            "role": "user",
            "content": _REPAIR.format(problem=to_json_line(excerpt(problem))),
        },
    )
    return msgspec.structs.replace(request, follow_up=follow_up)
