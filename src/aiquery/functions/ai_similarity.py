"""ai_similarity: compares two texts by their embeddings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aiquery.errors import InvalidResponse
from aiquery.functions import vectors
from aiquery.functions.ai_embed import FLOAT, EmbedCall, EmbeddingFunction
from aiquery.functions.arguments import (
    COMMON,
)
from aiquery.functions.call import to_text_column
from aiquery.interfaces import ColumnValues, Example, Parameter, Rounds
from aiquery.requests.request import Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from aiquery.requests.request import Outcome
    from aiquery.requests.sql_types import SQLType

_Matrix: TypeAlias = "npt.NDArray[np.float32]"
_Codes: TypeAlias = "npt.NDArray[np.int32]"
_NULL = pa.scalar(None, pa.int32())


@dataclass(frozen=True, kw_only=True)
class SimilarityCall(EmbedCall):
    """``ai_similarity`` bound to its endpoint."""

    column_names: tuple[str, ...] = ("a", "b")

    def rounds(self, columns: Sequence[pa.Array]) -> Rounds:
        """Embed each distinct text of both columns, except in rows whose two texts are equal."""
        left, right = [
            to_text_column(name, column)
            for name, column in zip(self.column_names, columns, strict=True)
        ]
        is_sent = pc.fill_null(pc.not_equal(left, right), fill_value=False)
        sent = [left.filter(is_sent), right.filter(is_sent)]
        encoded = pa.concat_arrays(sent).dictionary_encode()
        outcomes = yield [
            Request(self.template, self.prefix + text)
            for text in encoded.dictionary.to_pylist()
        ]
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        values = self._compare(codes, outcomes)
        index = _build_index(is_sent, len(values))
        has_texts = pc.and_(left.is_valid(), right.is_valid())
        index = pc.if_else(has_texts, index, _NULL).cast(pa.int32())
        values.append(self.wrap_answer(1.0))
        return ColumnValues(values, index)

    def _compare(self, codes: _Codes, outcomes: Sequence[Outcome]) -> list[object]:
        """Return one value per pair of texts. ``codes`` are the first texts, then the second."""
        left, right = np.split(codes, 2)
        cosines = _compute_cosines(left, right, outcomes)
        return [
            self._to_value(outcomes[a], outcomes[b], cosine)
            for a, b, cosine in zip(left, right, cosines, strict=True)
        ]

    def _to_value(self, a: Outcome, b: Outcome, cosine: float) -> object:
        for outcome in (a, b):
            if outcome.error is not None:
                return self.wrap_error(outcome.error)
            if outcome.value is None:
                return self.wrap_answer(None)
        if math.isnan(cosine):
            left = vectors.count_floats(str(a.value))
            right = vectors.count_floats(str(b.value))
            problem = (
                f"endpoint {self.endpoint.name!r}: the embeddings of the two texts have "
                f"{left} and {right} dimensions."
            )
            return self.wrap_error(InvalidResponse(problem))
        return self.wrap_answer(cosine)


def _build_index(is_sent: pa.Array, count: int) -> pa.Array:
    """Return the position of each row's value.

    The rows that sent requests have the first ``count`` values, one each. All rows with equal texts
    share the value after them.
    """
    order = pc.cumulative_sum(is_sent.cast(pa.int32()))
    return pc.if_else(is_sent, pc.subtract(order, 1), count)


def _compute_cosines(
    left: _Codes, right: _Codes, outcomes: Sequence[Outcome]
) -> list[float]:
    """Return the cosine of each pair of vectors; NaN if one is missing or their lengths differ."""
    packed = {
        i: str(outcome.value)
        for i, outcome in enumerate(outcomes)
        if outcome.error is None and outcome.value is not None
    }
    lengths = np.zeros(len(outcomes), np.int64)
    for i, vector in packed.items():
        lengths[i] = vectors.count_floats(vector)
    cosines = np.full(len(left), np.nan)
    for length in np.unique(lengths[lengths > 0]):
        members = [i for i in packed if lengths[i] == length]
        positions = np.zeros(len(outcomes), np.int64)
        positions[members] = np.arange(len(members))
        matrix = vectors.to_matrix([packed[i] for i in members])
        unit = _normalize(matrix)
        is_pair = (lengths[left] == length) & (lengths[right] == length)
        a = unit[positions[left[is_pair]]]
        b = unit[positions[right[is_pair]]]
        products = np.einsum("ij,ij->i", a, b)
        cosines[is_pair] = np.clip(products, -1.0, 1.0)
    return cosines.tolist()


def _normalize(matrix: _Matrix) -> _Matrix:
    """Return the rows with length 1. A row of zeros stays zero."""
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit: _Matrix = matrix / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit


class Similarity(EmbeddingFunction):
    """``ai_similarity(a, b)``: the cosine of two texts' embeddings, a FLOAT from -1.0 to 1.0.

    Equal texts give 1.0 without a request. Each distinct text is embedded once, whatever the number
    of its pairs: a join of 300 x 300 texts embeds 600 texts. A NULL text gives NULL.
    """

    name = "ai_similarity"
    returns = "FLOAT"
    parameters = (
        Parameter(
            "a",
            "column",
            required=True,
            doc="a text; NULL gives NULL without a request",
        ),
        Parameter(
            "b",
            "column",
            required=True,
            doc="another text; NULL gives NULL without a request",
        ),
        *COMMON,
    )
    examples = (
        Example(
            "SELECT ai_similarity('Apache Spark', 'Apache Spark') AS similarity", "1.0"
        ),
    )

    call_type = SimilarityCall

    def answer_type(self, length: int | None) -> SQLType:
        """Return FLOAT, whatever the length of the embeddings."""
        del length
        return FLOAT


AI_SIMILARITY = Similarity()
