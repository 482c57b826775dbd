"""Random statements with AI calls for DuckDB: queries, DDL, changes and transactions."""

from hypothesis import assume
from hypothesis import strategies as st
from statements import SOURCES, Draw


class DrawStatement(Draw):
    """Draws a whole statement around a query."""

    def statement(self):
        """Return the statements of one trial, and whether the rows of the last one have an order."""
        kind = self.pick(
            *["query"] * 9, "create", "insert", "update", "delete", "merge", "view", "transaction", "copy", "prepare",
            "macro", "pivot", "sequence", "rollback",
        )  # fmt: skip
        if kind == "query":
            text, ordered = self.query()
            return [text], ordered
        if kind == "create":
            text, _ = self.query()
            return [
                f"CREATE {self.pick('', 'OR REPLACE ', 'TEMP ')}TABLE made AS {text}",
                "FROM made",
            ], False
        if kind == "insert":
            text, _ = self.rows(1)
            returning = self.pick("", "", ' RETURNING id AS "Count"', " RETURNING *")
            return [f"INSERT INTO o {text}{returning}"], False
        return self.change(kind)

    def change(self, kind):
        context = [("t", SOURCES["t"])]
        condition = self.condition(context, 3)
        if kind == "update":
            returning = self.pick("", "", " RETURNING id, s")
            return [
                f"UPDATE t SET s = {self.text(context, 2)}, n = 'set' WHERE {condition}{returning}"
            ], False
        if kind == "delete":
            return [f"DELETE FROM t WHERE {condition}"], False
        text, columns = self.rows(1)
        if kind == "merge":
            return [
                f"MERGE INTO o USING (SELECT id, min(k) AS k, min(v) AS v FROM ({text}) AS r WHERE id IS NOT NULL GROUP BY id) "
                "AS q ON o.id = q.id WHEN MATCHED THEN UPDATE SET v = q.v WHEN NOT MATCHED THEN INSERT VALUES (q.id, q.k, q.v)"
            ], False
        if kind == "view":
            rest = self.condition([("w", columns)], 1)
            return [
                f"CREATE OR REPLACE TEMP VIEW w AS {text}",
                f"SELECT * FROM w WHERE {rest}",
            ], False
        if kind == "prepare":
            return [f"PREPARE prepared AS {text}", "EXECUTE prepared"], False
        if kind == "macro":
            body = self.text(context, 1).replace("t.s", "x").replace("t.n", "x")
            return [
                f"CREATE OR REPLACE TEMP MACRO mm(x) AS {body}",
                "SELECT t.id, mm(t.s) AS r FROM t",
            ], False
        if kind == "pivot":
            return [
                f"SELECT * FROM (PIVOT (SELECT id % 2 AS id, v FROM ({text}) AS r) ON v USING count(*)) ORDER BY ALL"
            ], False
        if kind == "sequence":
            return [
                f"SELECT nextval('sq') AS n, {self.text(context, 1)} AS r FROM t WHERE id < 5"
            ], False
        if kind == "rollback":
            return ["BEGIN", f"INSERT INTO o {text}", "FROM o", "ROLLBACK"], False
        if kind == "copy":
            return [
                f"COPY ({text}) TO 'copied.csv' (HEADER)",
                "FROM 'copied.csv'",
            ], False
        query, ordered = self.query()
        return [
            "BEGIN",
            "INSERT INTO o VALUES (99, 1, 'new')",
            query,
            "COMMIT",
        ], ordered


@st.composite
def statements(draw):
    """Draw the statements of one trial."""
    texts, ordered = DrawStatement(draw).statement()
    assume(any("ai_query" in text for text in texts))
    return texts, ordered
