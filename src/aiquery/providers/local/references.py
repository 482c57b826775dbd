"""The reference texts that calibrate scores: a fixed set, so that the answer of a row depends on that row alone.

A score is compared with the mean of the scores that the reference texts have for the same value: a
model prefers some words, whatever the text is. Sources: contextual calibration (Zhao et al., ICML
2021), domain-conditional PMI (Holtzman et al., EMNLP 2021).
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from importlib.resources import files


@cache
def reference_texts() -> tuple[str, ...]:
    """Return the texts."""
    text = files("aiquery.data").joinpath("reference_texts.txt").read_text("utf-8")
    return tuple(text.splitlines())


@cache
def reference_digest() -> str:
    """Return a hash of the texts, which is a part of the keys of answers that depend on them."""
    joined = "\n".join(reference_texts()).encode()
    return blake2b(joined, digest_size=8).hexdigest()
