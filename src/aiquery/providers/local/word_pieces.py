"""The vocabulary of BERT and of llama.cpp: BERT marks the pieces inside a word, llama.cpp those at its start."""

from __future__ import annotations

_START = "\u2581"
_INSIDE = "##"


def is_special(piece: str) -> bool:
    """Return True for a token such as ``[CLS]``, which both write the same."""
    return piece.startswith("[") and piece.endswith("]")


def to_llama(piece: str) -> str:
    """Return a piece of BERT's vocabulary as llama.cpp writes it."""
    if is_special(piece):
        return piece
    if piece.startswith(_INSIDE):
        return piece.removeprefix(_INSIDE)
    return _START + piece


def to_bert(piece: str) -> str:
    """Return a piece of llama.cpp's vocabulary as BERT writes it."""
    if is_special(piece):
        return piece
    if piece.startswith(_START):
        return piece.removeprefix(_START)
    return _INSIDE + piece
