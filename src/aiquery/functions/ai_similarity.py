"""ai_similarity: how alike two texts are, from their embeddings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aiquery.errors import InvalidResponse
from aiquery.functions import vectors
from aiquery.functions.ai_embed import dimensions, embedding_template
from aiquery.functions.arguments import COMMON, endpoint_for, errors_of, on_budget_of
from aiquery.functions.call import BaseCall, text_column
from aiquery.interfaces import ColumnValues, Example, Parameter, Rounds
from aiquery.requests.request import Request
from aiquery.requests.sql_types import SQLType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from aiquery.config.settings import Config
    from aiquery.requests.request import Outcome

FLOAT = SQLType("FLOAT")


class SimilarityCall(BaseCall):
    """ai_similarity bound to its endpoint."""

    def rounds(self, columns: Sequence[pa.Array]) -> Rounds:
        """Embed each distinct text of both columns once; equal texts need no embedding to be equal."""
        left, right = (
            text_column(name, column)
            for name, column in zip(self.names, columns, strict=True)
        )
        asked = pc.fill_null(pc.not_equal(left, right), fill_value=False)
        both = pa.concat_arrays(
            [left.filter(asked), right.filter(asked)]
        ).dictionary_encode()
        outcomes = yield [
            Request(self.template, text) for text in both.dictionary.to_pylist()
        ]
        known = pc.and_(left.is_valid(), right.is_valid())
        values = self._values(both.indices.to_numpy(zero_copy_only=False), outcomes)
        # Row by row: the rows that asked have their own value each, equal texts share the last one.
        order = pc.cumulative_sum(asked.cast(pa.int32()))
        index = pc.if_else(asked, pc.subtract(order, 1), len(values))
        index = pc.if_else(known, index, pa.scalar(None, pa.int32())).cast(pa.int32())
        return ColumnValues([*values, self.wrapped(1.0)], index)

    def _values(
        self, codes: npt.NDArray[np.int32], outcomes: Sequence[Outcome]
    ) -> list[object]:
        pairs = zip(*np.split(codes, 2), _cosines(codes, outcomes), strict=True)
        return [self._value(outcomes[a], outcomes[b], cosine) for a, b, cosine in pairs]

    def _value(self, a: Outcome, b: Outcome, cosine: float) -> object:
        bad = next(
            (one for one in (a, b) if one.error is not None or one.value is None), None
        )
        if bad is not None:
            return (
                self.failed(bad.error) if bad.error is not None else self.wrapped(None)
            )
        if math.isnan(cosine):
            lengths = " and ".join(
                str(vectors.length(str(one.value))) for one in (a, b)
            )
            problem = f"endpoint {self.endpoint.name!r}: the embeddings of the two texts have {lengths} dimensions."
            return self.failed(InvalidResponse(problem))
        return self.wrapped(cosine)


def _cosines(codes: npt.NDArray[np.int32], outcomes: Sequence[Outcome]) -> list[float]:
    """Return the cosine of each pair of vectors; NaN for two of different lengths, or where one is missing."""
    known = {
        i: str(one.value)
        for i, one in enumerate(outcomes)
        if one.error is None and one.value is not None
    }
    lengths = np.zeros(len(outcomes), np.int64)
    for i, packed in known.items():
        lengths[i] = vectors.length(packed)
    a, b = np.split(codes, 2)
    cosines = np.full(len(a), np.nan)
    for length in np.unique(lengths[lengths > 0]):
        members = [i for i in known if lengths[i] == length]
        place = np.zeros(len(outcomes), np.int64)
        place[members] = np.arange(len(members))
        unit = vectors.matrix([known[i] for i in members])
        unit = unit / np.maximum(
            np.linalg.norm(unit, axis=1, keepdims=True), np.finfo(np.float32).tiny
        )
        pairs = (lengths[a] == length) & (lengths[b] == length)
        cosines[pairs] = np.clip(
            np.einsum("ij,ij->i", unit[place[a[pairs]]], unit[place[b[pairs]]]),
            -1.0,
            1.0,
        )
    return cosines.tolist()


class Similarity:
    """``ai_similarity(a, b)``: the cosine of the two texts' embeddings, a FLOAT from -1.0 to 1.0; 1.0 for equal texts.

    Each distinct text is embedded once, in however many pairs it stands: a join of 300 x 300 texts embeds 600.
    """

    name = "ai_similarity"
    returns = "FLOAT"
    parameters = (
        Parameter("a", "column", required=True, doc="a text; NULL: NULL, and no call"),
        Parameter(
            "b", "column", required=True, doc="another text; NULL: NULL, and no call"
        ),
        *COMMON,
    )
    examples = (
        Example(
            "SELECT ai_similarity('Apache Spark', 'Apache Spark') AS similarity", "1.0"
        ),
    )

    def bind(self, arguments: Mapping[str, Any], config: Config) -> SimilarityCall:
        """See ``AIFunction.bind``."""
        endpoint = endpoint_for(
            self.name, "embedding", arguments.get("endpoint"), config
        )
        return SimilarityCall(
            template=embedding_template(self.name, endpoint, dimensions(endpoint)),
            endpoint=endpoint,
            answer=FLOAT,
            errors=errors_of(self.name, arguments),
            on_budget=on_budget_of(self.name, arguments),
            names=("a", "b"),
        )


AI_SIMILARITY = Similarity()
