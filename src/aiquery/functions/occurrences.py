"""Finds every occurrence of many texts in one text, in a time that a hostile text cannot raise much.

The parts of one length are compared by polynomial hashes, which NumPy computes for all positions at once from prefix
sums (Karp and Rabin, 1987). The base is random, so that no text can provoke collisions. The time grows with the length
of the text times the number of different lengths that are looked for.
"""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    Numbers = npt.NDArray[np.uint64]
    Flags = npt.NDArray[np.bool_]

_PRIMES = (2_147_483_647, 2_147_483_629)
"""Below 2^31, so that a product fits into 64 bits."""

_BASES = tuple(1_000 + secrets.randbelow(2**30) for _ in _PRIMES)
_TOKEN = re.compile(r"\s+|\S+")

Span = tuple[int, int]


class Occurrences(NamedTuple):
    """Where texts occur.

    spans     start and end in the text, sorted by the start; of those with one start only the longest
    missing   the first of the texts that does not occur; None if all do
    """

    spans: list[Span]
    missing: str | None


def find_occurrences(content: str, entities: Iterable[str]) -> Occurrences:
    """Return where each of ``entities`` occurs in ``content``. Case and white space make no difference.

    One that occurs as whole words is not found inside longer words.
    """
    text, offsets = _fold(content)
    by_length: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for entity in entities:
        folded, _ = _fold(" ".join(entity.split()))
        if len(folded) > len(text):
            return Occurrences([], entity)
        by_length[len(folded)].setdefault(folded, entity)
    words = np.fromiter((c.isalnum() or c == "_" for c in text), np.bool_, len(text))
    hashes = _Hashes(text)
    starts_word, ends_word = _find_borders(words)
    best_ends = np.zeros(len(text), np.int64)
    for length, originals in by_length.items():
        positions, which = hashes.find(list(originals), length)
        found = set(np.unique(which).tolist())
        for i, original in enumerate(originals.values()):
            if i not in found:
                return Occurrences([], original)
        is_whole = starts_word[positions] & ends_word[positions + length]
        has_whole = np.zeros(len(originals), np.bool_)
        has_whole[which[is_whole]] = True
        chosen = positions[is_whole | ~has_whole[which]]
        best_ends[chosen] = np.maximum(best_ends[chosen], chosen + length)
    starts = np.flatnonzero(best_ends)
    ends = best_ends[starts]
    spans = [
        (offsets[start], offsets[end - 1] + 1)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    return Occurrences(spans, None)


def _fold(text: str) -> tuple[str, list[int]]:
    """Return a text without case, with one space for any white space, and the position of each of its characters."""
    parts: list[str] = []
    offsets: list[int] = []
    for token in _TOKEN.finditer(text):
        start, end = token.span()
        if token[0].isspace():
            parts.append(" ")
            offsets.append(start)
        else:
            parts.append(_fold_case(token[0]))
            offsets.extend(range(start, end))
    return "".join(parts), offsets


def _fold_case(word: str) -> str:
    """Return a word without case; a character that would become several stays as it is."""
    folded = word.casefold()
    if len(folded) == len(word):
        return folded
    return "".join(c.casefold() if len(c.casefold()) == 1 else c for c in word)


def _find_borders(words: Flags) -> tuple[Flags, Flags]:
    """Return at which positions no word is cut if a part starts there, and if one ends there."""
    inside = np.zeros(len(words) + 1, np.bool_)
    inside[1:-1] = words[1:] & words[:-1]
    return ~inside[:-1], ~inside


class _Hashes:
    """The hashes of the parts of a text."""

    def __init__(self, text: str) -> None:
        """Compute the prefix sums of ``text``."""
        self._length = len(text)
        self._powers = [
            _compute_powers(base, prime, len(text) + 1)
            for base, prime in zip(_BASES, _PRIMES, strict=True)
        ]
        self._inverses = [
            _compute_powers(pow(base, -1, prime), prime, len(text) + 1)
            for base, prime in zip(_BASES, _PRIMES, strict=True)
        ]
        self._sums = [
            self._sum(text, powers, prime)
            for powers, prime in zip(self._powers, _PRIMES, strict=True)
        ]

    @staticmethod
    def _sum(text: str, powers: Numbers, prime: int) -> Numbers:
        """Return the sums, modulo ``prime``, of each character times its power."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        terms = codes.astype(np.uint64) * powers[: len(codes)] % np.uint64(prime)
        sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum(terms, out=sums[1:])
        return sums % np.uint64(prime)

    def find(
        self, parts: Sequence[str], length: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the positions of texts of one length, and for each position which of them it is."""
        keys = np.array([self._hash_text(part) for part in parts], np.uint64)
        order = np.argsort(keys)
        ordered = keys[order]
        found = self._hash_all(length)
        nearest = np.searchsorted(ordered, found)
        nearest[nearest == len(ordered)] = 0
        positions = np.flatnonzero(ordered[nearest] == found)
        return positions, order[nearest[positions]]

    def _hash_text(self, text: str) -> int:
        sums = [
            int(self._sum(text, powers, prime)[-1])
            for powers, prime in zip(self._powers, _PRIMES, strict=True)
        ]
        return sums[0] << 32 | sums[1]

    def _hash_all(self, length: int) -> Numbers:
        """Return the hash of the part of ``length`` at each position."""
        count = self._length - length + 1
        hashes = []
        for sums, inverses, number in zip(
            self._sums, self._inverses, _PRIMES, strict=True
        ):
            prime = np.uint64(number)
            part = (sums[length:] + prime - sums[:count]) % prime
            hashes.append(part * inverses[:count] % prime)
        return hashes[0] << np.uint64(32) | hashes[1]


def _compute_powers(base: int, prime: int, count: int) -> Numbers:
    """Return the first ``count`` powers of ``base`` modulo ``prime``."""
    powers = np.ones(1, np.uint64)
    while len(powers) < count:
        factor = np.uint64(pow(base, len(powers), prime))
        powers = np.concatenate([powers, powers * factor % np.uint64(prime)])
    return powers[:count]
