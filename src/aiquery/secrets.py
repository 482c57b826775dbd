"""The secrets in use, and the one function that takes them out of a text that leaves memory.

A secret is known from the moment it is read: a key or a header from the environment, or the password of an address in
the configuration. It is found in a text as it is, percent-encoded, in JSON, in HTML, and in base64 at any position.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64decode, b64encode
from typing import NoReturn
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit

MASK = "***"
_MIN_LENGTH = 4
"""A shorter text is not searched for: it would be found in every sentence."""

_PLAIN_LENGTH = 8
"""A shorter secret is only found as a whole word: a key such as "test" is part of many words."""

_KEY_LENGTH = 20
_MAX_SECRETS = 1_000
_DATABASES = frozenset({"redis", "rediss", "unix", "postgres", "postgresql"})
"""Schemes of addresses whose user name is no secret. In http(s) a user name without a password is a token."""

_SECRET_NAME = re.compile(
    r"auth(?!ors?(?:\b|_))|key|token(?!s|iz)|secret|cookie|session|pass|pwd|cred|\bsig\b|signature|jwt|bearer|^code$",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{2,30}")
"""The scheme of credentials: Bearer, Basic, ApiKey, Token, AWS4-HMAC-SHA256."""

_USER_INFO = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*@")


class Secret:
    """A text that no formatter shows: ``repr``, ``str`` and ``format`` return ``***``. It cannot be pickled."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Hold ``value``."""
        self._value = value

    def reveal(self) -> str:
        """Return the text, to send it to its server and for nothing else."""
        return self._value

    def __repr__(self) -> str:
        """Return ``***``."""
        return MASK

    def __format__(self, spec: str) -> str:
        """Return ``***``."""
        return MASK

    def __eq__(self, other: object) -> bool:
        """Compare the texts of two secrets."""
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        """Return the hash of the text."""
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        """Raise ``TypeError``."""
        raise TypeError("a secret cannot be pickled")


_longest = [0]
_patterns: dict[str, re.Pattern[str]] = {}
"""What finds each secret in use. A dictionary needs no lock: several threads may read secrets."""


def remember_secret(value: str) -> None:
    """Let ``hide_secrets`` replace ``value`` from now on."""
    if value in _patterns or len(value) < _MIN_LENGTH:
        return
    longest_first = sorted(_forms(value), key=len, reverse=True)
    _longest[0] = max(_longest[0], len(longest_first[0]))
    _patterns[value] = re.compile("|".join(map(_to_pattern, longest_first)))
    if len(_patterns) > _MAX_SECRETS:
        _patterns.pop(next(iter(_patterns)), None)


def remember_header(value: str) -> None:
    """Let ``hide_secrets`` replace the value of a header, and the secrets that it consists of.

    A server may quote a token without its scheme, the user and password of Basic, or one cookie.
    """
    remember_secret(value)
    remember_address(value)
    scheme, _, rest = value.partition(" ")
    if rest and _SCHEME.fullmatch(scheme):
        remember_secret(rest.strip())
        for text in _decode_basic(rest.strip()):
            remember_secret(text)
    for part in value.split(";"):
        _, equals, inside = part.partition("=")
        if equals and len(inside.strip()) >= _PLAIN_LENGTH:
            remember_secret(inside.strip())


def _decode_basic(encoded: str) -> list[str]:
    """Return the user with the password, and the password, of Basic credentials."""
    try:
        text = b64decode(encoded, validate=True).decode()
    except ValueError:  # also what is no UTF-8
        return []
    user, colon, password = text.partition(":")
    return [text, password] if user and colon else []


def longest_secret() -> int:
    """Return the length of the longest form of a secret in use."""
    return _longest[0]


def remember_address(address: str) -> None:
    """Remember the secrets of an address."""
    for secret in find_secrets_in_address(address):
        remember_secret(secret)


def hide_secrets(text: str) -> str:
    """Return ``text`` with ``***`` for every secret in use, and for the user and password of every address."""
    spans = [
        found.span()
        for pattern in list(_patterns.values())
        for found in pattern.finditer(text)
    ]
    if spans:
        text = _mask(text, sorted(spans))
    return _USER_INFO.sub(f"{MASK}@", text) if "@" in text else text


def _mask(text: str, spans: list[tuple[int, int]]) -> str:
    """Return ``text`` with ``***`` for spans, sorted by their starts; those of several secrets may overlap."""
    parts: list[str] = []
    end = 0
    for start, stop in spans:
        if start >= end:
            parts += (text[end:start], MASK)
        end = max(end, stop)
    return "".join(parts) + text[end:]


def is_secret_name(name: str) -> bool:
    """Return True if the value of a header, a query parameter or an option of this name is probably a secret."""
    return _SECRET_NAME.search(name) is not None


def looks_like_key(value: str) -> bool:
    """Return True for a value that is probably a key: long, without a space, with small letters and digits."""
    is_long = len(value) >= _KEY_LENGTH and not re.search(r"[\s/]", value)
    return is_long and bool(re.search("[a-z]", value) and re.search("[0-9]", value))


def find_secrets_in_address(address: str) -> list[str]:
    """Return the password, and the values of secret query parameters, of an address.

    Of an address that cannot be read, what stands between the first colon and the last @ counts as a secret.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return []
    try:
        parts = urlsplit(address)
        password = parts.password
        user = parts.username
        query = parse_qsl(parts.query.replace(";", "&")) + parse_qsl(parts.fragment)
        _ = parts.port
        is_readable = "@" in parts.netloc or "@" not in rest
    except ValueError:
        is_readable = False
    if not is_readable:  # for example because of a / in the password
        user_info = rest.rpartition("@")[0]
        return [user_info.partition(":")[2] or user_info]
    found = [value for name, value in query if is_secret_name(name)]
    if password:
        found.append(password)
    elif user and scheme.lower() not in _DATABASES:
        found.append(user)
    return [secret for secret in found if secret]


def _forms(secret: str) -> set[str]:
    """Return the texts by which a secret is found."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    forms = set(plain)
    for text in plain:
        encoded = {quote(text, safe=safe) for safe in ("", "/")}
        encoded |= {quote_plus(text, safe=safe) for safe in ("", "/")}
        encoded.add(quote(text, safe="!'()*"))  # encodeURIComponent
        forms |= encoded | {_lower_hex(one) for one in encoded}
        in_json = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
        forms |= {one.replace("/", r"\/") for one in in_json}  # PHP
        forms |= {_escape_html_in_json(one) for one in in_json}  # Go
        forms |= in_json | {repr(text)[1:-1]}
        forms |= {html.escape(text), html.escape(text).replace("&#x27;", "&#39;")}
        forms.add(
            html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
        )
        forms |= _base64_forms(text)
    return {form for form in forms if len(form) >= _MIN_LENGTH}


def _lower_hex(encoded: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)


def _escape_html_in_json(text: str) -> str:
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _base64_forms(secret: str) -> set[str]:
    """Return what base64 makes of a secret, wherever it stands in the encoded bytes."""
    forms = set()
    data = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        encoded = b64encode(bytes(before) + data).decode().rstrip("=")
        # The first and the last character also have bits of what stands beside the secret.
        start = -(-before * 8 // 6)
        end = (before + len(data)) * 8 // 6
        inner = encoded[start:end]
        if len(inner) >= _PLAIN_LENGTH:
            forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return forms


def _to_pattern(form: str) -> str:
    escaped = re.escape(form)
    if len(form) >= _PLAIN_LENGTH:
        return escaped
    return rf"(?<!\w){escaped}(?!\w)"
