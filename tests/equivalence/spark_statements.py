"""Random queries with AI calls for Spark: the part of ``statements`` that Spark SQL supports."""

from hypothesis import strategies as st
from statements import Draw


class DrawForSpark(Draw):
    """Draws parts of a query in Spark SQL."""

    tables = ("t", "t", "u", "e")
    joins = ("JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN", "CROSS JOIN")
    kinds = (
        "plain", "plain", "plain", "plain", "group", "distinct", "window", "union", "values", "sets", "limited",
        "first rows", "first rows",
    )  # fmt: skip
    keeps_order = False
    text_kinds = (*["call"] * 9, "column", "concat", "case", "coalesce", "upper", "cast", "nullif", "concat()")
    text_type = "STRING"
    materialized = ("",)

    def aggregate(self, context):
        return self.pick(f"max({self.text(context, 1)})", f"min({self.text_column(context)})")


@st.composite
def queries_for_spark(draw):
    """Draw one query; return it, and whether its rows have an order."""
    return DrawForSpark(draw).query()
