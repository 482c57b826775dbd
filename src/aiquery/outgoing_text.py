"""Texts that leave memory: in errors, in logs and on terminals. They hold no secret and no control character.

A model, a server or a table can put any character into a text. On a terminal, some of them write to the clipboard, move
the cursor, or show the text in another order than it has (https://trojansource.codes). They become visible escapes.
"""

from __future__ import annotations

import logging
import re

from aiquery.secrets import hide_secrets

_LAST_BYTE = 0xFF
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls
    "\u2028\u2029"  # separators of lines and paragraphs
    "\ufff9-\ufffb]"  # interlinear annotation
)


def clean_text(text: str) -> str:
    """Return ``text`` without secrets and without harmful characters."""
    return make_visible(hide_secrets(text))


def make_visible(text: str) -> str:
    r"""Return ``text`` with an escape such as ``\x1b`` or ``\u202e`` for each harmful character.

    Tabs and line feeds stay. A carriage return before a line feed is dropped.

    >>> make_visible("a\x1b]52;c;eA==\x07b")
    'a\\x1b]52;c;eA==\\x07b'
    """
    if text.isascii() and text.isprintable():
        return text
    return _HARMFUL.sub(_escape, text.replace("\r\n", "\n"))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code <= _LAST_BYTE else f"\\u{code:04x}"


class LogFilter(logging.Filter):
    """Cleans the records of a logger, their tracebacks included."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True, after the record's text was cleaned."""
        record.msg = clean_text(record.getMessage())
        record.args = None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = clean_text(record.exc_text)
        return True


logging.getLogger("aiquery").addFilter(LogFilter())
