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
            return [f"CREATE {self.pick('', 'OR REPLACE ', 'TEMP ')}TABLE made AS {text}", "FROM made"], False
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
            return [f"UPDATE t SET s = {self.text(context, 2)}, n = 'set' WHERE {condition}{returning}"], False
        if kind == "delete":
            return [f"DELETE FROM t WHERE {condition}"], False
        text, columns = self.rows(1)
        if kind == "transaction":
            query, ordered = self.query()
            insert = "INSERT INTO o VALUES (99, 1, 'new')"
            return ["BEGIN", insert, query, "COMMIT"], ordered
        return self.embed(kind, context, text, columns), False

    def embed(self, kind, context, text, columns):
        """Return the statements of a kind, with a query or an expression inside."""
        if kind == "merge":
            return [
                f"MERGE INTO o USING (SELECT id, min(k) AS k, min(v) AS v FROM ({text}) AS r WHERE id IS NOT NULL GROUP BY id) "
                "AS q ON o.id = q.id WHEN MATCHED THEN UPDATE SET v = q.v WHEN NOT MATCHED THEN INSERT VALUES (q.id, q.k, q.v)"
            ]
        if kind == "view":
            condition = self.condition([("w", columns)], 1)
            view = f"CREATE OR REPLACE TEMP VIEW w AS {text}"
            return [view, f"SELECT * FROM w WHERE {condition}"]
        if kind == "prepare":
            return [f"PREPARE prepared AS {text}", "EXECUTE prepared"]
        if kind == "macro":
            body = self.text(context, 1).replace("t.s", "x").replace("t.n", "x")
            macro = f"CREATE OR REPLACE TEMP MACRO mm(x) AS {body}"
            return [macro, "SELECT t.id, mm(t.s) AS r FROM t"]
        if kind == "pivot":
            pivot = f"PIVOT (SELECT id % 2 AS id, v FROM ({text}) AS r) ON v USING count(*)"
            return [f"SELECT * FROM ({pivot}) ORDER BY ALL"]
        if kind == "sequence":
            answer = self.text(context, 1)
            return [f"SELECT nextval('sq') AS n, {answer} AS r FROM t WHERE id < 5"]
        if kind == "rollback":
            return ["BEGIN", f"INSERT INTO o {text}", "FROM o", "ROLLBACK"]
        assert kind == "copy"
        return [f"COPY ({text}) TO 'copied.csv' (HEADER)", "FROM 'copied.csv'"]


@st.composite
def statements(draw):
    """Draw the statements of one trial."""
    texts, ordered = DrawStatement(draw).statement()
    assume(any("ai_query" in text for text in texts))
    return texts, ordered
