"""Numbers as texts and back: the formats of ``to_char``, ``to_number``, ``format_number`` and ``format_string``."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, InvalidOperation

_SPECIFIER = re.compile(r"%(?:(\d+)\$)?([-+ 0,(#]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])")


class FormatError(ValueError):
    """A format that is not one, or a text that does not have it."""


def to_char(number: str, form: str) -> str:
    """Return a number in a format such as ``S999G999D99``. A number with too many digits gives ``##``."""
    value = Decimal(number)
    body, sign_at = _split_sign(form.upper())
    whole, _, fraction = body.replace("G", ",").replace("D", ".").partition(".")
    has_dollar = "$" in whole
    places = whole.replace("$", "")
    digits = format(
        abs(value).quantize(Decimal(1).scaleb(-len(fraction)), ROUND_HALF_UP), "f"
    )
    left, _, right = digits.partition(".")
    count = sum(one in "09" for one in places)
    left = left.lstrip("0") or ("0" if fraction and count else "")
    if len(left) > count:
        return re.sub("[09]", "#", body)
    shown = _group(left, places, count)
    text = shown + ("." + right if fraction else "")
    if has_dollar:
        text = f"${text}"
    return _sign(text, sign_at, is_negative=value < 0)


def _group(left: str, places: str, count: int) -> str:
    """Return digits at the places of a format: 0 shows a zero, 9 a blank, which is left out."""
    padded = left.rjust(count)
    made: list[str] = []
    position = 0
    zeros = False
    for place in places:
        if place == ",":
            made.append("," if made and made[-1].strip() else " ")
            continue
        zeros = zeros or place == "0"
        digit = padded[position]
        made.append("0" if digit == " " and zeros else digit)
        position += 1
    return "".join(made)


def _split_sign(form: str) -> tuple[str, str]:
    for mark, name in (("PR", "PR"), ("MI", "MI")):
        if form.endswith(mark):
            return form[: -len(mark)], name
    if form.endswith("S"):
        return form[:-1], "S after"
    if form.startswith("S"):
        return form[1:], "S before"
    if form.startswith("MI"):
        return form[2:], "MI before"
    return form, ""


def _sign(text: str, sign_at: str, *, is_negative: bool) -> str:
    digits = text.lstrip(" ")
    blank = " " * (len(text) - len(digits))
    if sign_at == "PR":
        return f"{blank}<{digits}>" if is_negative else f"{text}  "
    if sign_at in {"S after", "MI"}:
        mark = "-" if is_negative else ("+" if sign_at == "S after" else " ")
        return f"{text}{mark}"
    if sign_at == "S before":
        return f"{blank}{'-' if is_negative else '+'}{digits}"
    if sign_at == "MI before":
        return f"{blank}{'-' if is_negative else ' '}{digits}"
    return f"{blank}-{digits}" if is_negative else text


def to_number(text: str, form: str) -> str:
    """Return the number that a text in a format shows, with the digits behind the point of the format."""
    body, sign_at = _split_sign(form.upper().replace("G", ",").replace("D", "."))
    shown = text.strip()
    is_negative = "-" in shown or (sign_at == "PR" and shown.startswith("<"))
    plain = re.sub(r"[-+<>$, ]", "", shown)
    whole, _, fraction = body.partition(".")
    left, _, right = plain.partition(".")
    too_long = len(left.lstrip("0")) > sum(one in "09" for one in whole) or len(
        right
    ) > len(fraction)
    if (
        too_long
        or not re.fullmatch(r"\d*(\.\d*)?", plain)
        or not plain
        or ("$" in shown and "$" not in whole)
    ):
        raise FormatError(f"the text {text!r} does not have the format {form!r}.")
    value = Decimal(plain).quantize(Decimal(1).scaleb(-len(fraction)))
    return format(-value if is_negative else value, "f")


def format_number(number: str, form: str) -> str:
    """Return a number with commas.

    ``form`` is a count of digits behind the point, or a pattern such as ``#,###.##``.
    """
    value = Decimal(number)
    if form.lstrip("-").isdigit():
        scale = int(form)
        return f"{value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_EVEN):,f}"
    whole, _, fraction = form.partition(".")
    rounded = value.quantize(Decimal(1).scaleb(-len(fraction)), ROUND_HALF_EVEN)
    text = format(rounded, ",f" if "," in whole else "f")
    head, _, tail = text.partition(".")
    least = fraction.count("0")
    tail = tail[:least] + tail[least:].rstrip("0")
    return f"{head}.{tail}" if tail else head


def format_string(form: str, values: list[str | None]) -> str:
    """Return a text with values in the places of ``%s``, ``%d``, ``%.2f`` and others, as Java's ``Formatter`` does."""
    position = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal position
        index, flags, width, precision, kind = match.groups()
        if kind == "%":
            return "%"
        if kind == "n":
            return "\n"
        if index is None:
            position += 1
        number = position if index is None else int(index)
        if number > len(values):
            raise FormatError(f"format_string: {match.group()!r} has no argument.")
        made = _format_one(values[number - 1], kind, flags, precision)
        return _pad(made, flags, width)

    rest = _SPECIFIER.sub("", form)
    if "%" in rest:
        raise FormatError(
            f"format_string: {form!r} has a % that starts no format; write %% for a percent sign."
        )
    return _SPECIFIER.sub(replace, form)


def _format_one(value: str | None, kind: str, flags: str, precision: str | None) -> str:
    if kind in "sS":
        text = "null" if value is None else value
        text = text if precision is None else text[: int(precision)]
        return text.upper() if kind == "S" else text
    if kind in "bB":
        return str(value is not None and value.lower() != "false").lower()
    if value is None:
        return "null"
    if kind in "cC":
        return chr(int(value)) if value.isdigit() and len(value) > 1 else value
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise FormatError(
            f"format_string: %{kind} needs a number, not {value[:40]!r}."
        ) from None
    if kind in "xXo":
        return _format_bits(int(number), kind)
    return _format_decimal(number, kind, flags, precision)


def _format_bits(number: int, kind: str) -> str:
    bits = number if number >= 0 else number + (2**32 if number >= -(2**31) else 2**64)
    return format(bits, kind)


def _format_decimal(
    number: Decimal, kind: str, flags: str, precision: str | None
) -> str:
    if kind == "d":
        if number != number.to_integral_value():
            raise FormatError("format_string: %d needs a whole number; use %f or %s.")
        text = format(abs(int(number)), "," if "," in flags else "")
    elif kind == "f":
        scale = 6 if precision is None else int(precision)
        rounded = abs(number).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)
        text = format(rounded, ",f" if "," in flags else "f")
    elif kind in "eE":
        text = _format_exponent(
            abs(number), 6 if precision is None else int(precision), kind
        )
    else:
        raise FormatError(
            f"format_string: %{kind} is not supported; use %s, %d, %f, %e, %x, %o, %c or %b."
        )
    if number < 0:
        return f"({text})" if "(" in flags else f"-{text}"
    return f"+{text}" if "+" in flags else f" {text}" if " " in flags else text


def _format_exponent(number: Decimal, scale: int, kind: str) -> str:
    exponent = number.adjusted() if number else 0
    digits = number.scaleb(-exponent).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)
    if digits >= 10:  # noqa: PLR2004  it was rounded up
        digits, exponent = digits / 10, exponent + 1
        digits = digits.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)
    return f"{digits:f}{kind}{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _pad(text: str, flags: str, width: str | None) -> str:
    if width is None:
        return text
    if "-" in flags:
        return text.ljust(int(width))
    if "0" in flags:
        sign = text[:1] if text[:1] in "+-" else ""
        return sign + text[len(sign) :].rjust(int(width) - len(sign), "0")
    return text.rjust(int(width))
