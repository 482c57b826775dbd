"""Random statements with AI calls: common constructs, nested deeply.

A statement is drawn for the tables of ``worlds.TABLES``. A LIMIT or DISTINCT ON follows a total order, so that the
result of a statement is the same on every run.
"""

from hypothesis import strategies as st

LITERALS = ("'a'", "'it''s'", "'%'", "''", "'none'")
SOURCES = {
    "t": ("id", "g", "s", "n"),
    "u": ("id", "k", "v"),
    "e": ("id", "k", "v"),
    "fr": ("id", "g", "s", "n"),  # a pandas frame
    "ar": ("id", "g", "s", "n"),  # an Arrow table
    "'p.parquet'": ("id", "g", "s", "n"),
    "tm(3)": ("id", "k", "v"),  # a table macro
}
TEXTS = {"s", "n", "v"}
ROW = ("id", "k", "v")


class Draw:
    """Draws parts of a statement; ``context`` is a list of pairs of a table's alias and its columns."""

    tables = ("t", "t", "t", "u", "u", "fr", "ar", "e", "'p.parquet'", "tm(3)")
    joins = (
        "JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN", "CROSS JOIN", "ASOF JOIN",
        "LATERAL", "LATERAL",
    )  # fmt: skip
    kinds = (
        "plain", "plain", "plain", "plain", "group", "distinct", "window", "union", "values", "qualify", "sets",
        "distinct on", "recursive", "limited", "first rows", "first rows", "distinct rows", "of each group",
    )  # fmt: skip
    text_kinds = (
        *["call"] * 9, "column", "concat", "case", "coalesce", "upper", "cast", "nullif", "concat()", "lambda", "struct",
    )  # fmt: skip
    text_type = "VARCHAR"
    materialized = ("", "", "MATERIALIZED ", "NOT MATERIALIZED ")
    offset = "OFFSET"
    keeps_order = True

    def __init__(self, draw):
        self.draw = draw
        self.names = 0

    def pick(self, *options):
        return self.draw(st.sampled_from(options))

    def chance(self, percent):
        return self.draw(st.integers(0, 99)) < percent

    def name(self):
        self.names += 1
        return f"q{self.names}"

    # --- expressions

    def text_column(self, context):
        options = [f"{alias}.{column}" for alias, columns in context for column in columns if column in TEXTS]
        return self.pick(*options)

    def number_column(self, context):
        options = [f"{alias}.{column}" for alias, columns in context for column in columns if column not in TEXTS]
        return self.pick(*options)

    def call(self, context, depth):
        content = self.text(context, depth - 1) if depth > 0 else self.text_column(context)
        if self.chance(4):
            return f"ai_query('m', {self.number_column(context)})"
        if self.chance(5):
            return f"(ai_query('m', {content}, failOnError => false)).result"
        if self.chance(7):
            prefix = self.pick("", "'BAD ' || ")
            return f"TRY(ai_query('m', {prefix}{content}))"
        return f"ai_query('m', {content})"

    def text(self, context, depth):
        if depth <= 0:
            return self.pick(self.text_column(context), self.text_column(context), self.pick(*LITERALS))
        kind = self.pick(*self.text_kinds)
        if kind == "call":
            return self.call(context, depth)
        if kind == "column":
            return self.text_column(context)
        inner = self.text(context, depth - 1)
        if kind == "concat":
            return f"({inner} || {self.text(context, depth - 1)})"
        if kind == "lambda":
            return f"list_transform([{inner}], lambda x: ai_query('m', x || '-'))[1]"
        if kind == "struct":
            return f"({{'a': {inner}, 'b': 1}}).a"
        if kind == "concat()":
            return f"concat({inner}, '-', {self.text(context, depth - 1)})"
        if kind == "case":
            return (
                f"CASE WHEN {self.condition(context, depth - 1)} THEN {inner} ELSE {self.text(context, depth - 1)} END"
            )
        if kind == "coalesce":
            return f"coalesce({inner}, {self.text(context, depth - 1)})"
        if kind == "nullif":
            literal = self.pick(*LITERALS, "'yes'")
            return f"nullif({inner}, {literal})"
        if kind == "upper":
            return f"upper({inner})"
        return f"CAST({self.number(context, depth - 1)} AS {self.text_type})"

    def number(self, context, depth):
        if depth <= 0:
            return self.pick(self.number_column(context), self.number_column(context), "1", "3")
        kind = self.pick("column", "plus", "length", "case", "try")
        if kind == "column":
            return self.number_column(context)
        if kind == "length":
            return f"length({self.text(context, depth - 1)})"
        if kind == "try":
            return f"TRY(CAST({self.text(context, depth - 1)} AS INTEGER))"
        first = self.number(context, depth - 1)
        second = self.number(context, depth - 1)
        if kind == "case":
            return f"CASE WHEN {self.condition(context, depth - 1)} THEN {first} ELSE {second} END"
        return f"({first} + {second})"

    def condition(self, context, depth):
        kind = self.pick(*["call"] * 5, "compare", "and", "or", "not", "null", "in", "between", "exists", "in query")
        if depth <= 0 or kind == "compare":
            column = self.number_column(context)
            operator = self.pick("<", "=", "<>", ">=")
            return f"{column} {operator} {self.pick('1', '2', '5')}"
        if kind == "call":
            call = self.call(context, depth - 1)
            operator = self.pick("=", "<>")
            literal = self.pick("'yes'", "'no'")
            return f"{call} {operator} {literal}"
        if kind in {"and", "or"}:
            count = self.pick(2, 2, 3)
            parts = [self.condition(context, depth - 1) for _ in range(count)]
            return self.combine(kind.upper(), parts)
        if kind == "not":
            return f"NOT ({self.condition(context, depth - 1)})"
        if kind == "null":
            return f"{self.text(context, depth - 1)} IS {self.pick('', 'NOT ')}NULL"
        if kind == "in":
            return f"{self.text(context, depth - 1)} IN ('yes', 'no', 'a')"
        if kind == "between":
            return f"{self.number(context, depth - 1)} BETWEEN 1 AND 4"
        return self.subquery_condition(context, depth, kind)

    def combine(self, operator, parts):
        """Join conditions; an AND may have no brackets of its own, so that the parser applies precedence."""
        combined = f" {operator} ".join(parts)
        if self.chance(70) or operator == "OR":
            return f"({combined})"
        return combined

    def expression(self, context):
        draw_expression = self.pick(self.text, self.number, self.condition)
        return draw_expression(context, 2)

    def subquery_condition(self, context, depth, kind):
        alias = self.name()
        table = self.pick("t", "u")
        inner = [(alias, SOURCES[table])]
        if self.chance(40):
            return self.uncorrelated_condition(context, f"{table} AS {alias}", inner, depth, kind)
        where = (
            self.condition([*inner, *context], depth - 1)
            if self.chance(60)
            else f"{alias}.id = {self.number_column(context)}"
        )
        if kind == "exists":
            return f"{self.pick('', 'NOT ')}EXISTS (SELECT 1 FROM {table} AS {alias} WHERE {where})"
        negated = self.pick("", "", "NOT ")
        return f"{self.number_column(context)} {negated}IN (SELECT {alias}.id FROM {table} AS {alias} WHERE {where})"

    def uncorrelated_condition(self, context, source, inner, depth, kind):
        """Return a condition about a subquery that reads nothing of the query around it."""
        where = f" WHERE {self.condition(inner, depth - 1)}"
        alias = inner[0][0]
        if kind == "exists":
            return f"{self.pick('', 'NOT ')}EXISTS (SELECT {alias}.id FROM {source}{where})"
        order = ", ".join(f"{alias}.{column}" for column in inner[0][1])
        limit = self.pick("", f" ORDER BY {order} LIMIT 1", f" ORDER BY {order} LIMIT 3")
        query = f"SELECT {alias}.id FROM {source}{where}{limit}"
        if limit.endswith("1") and self.chance(50):
            return f"{self.number_column(context)} = ({query})"
        return f"{self.number_column(context)} {self.pick('', 'NOT ')}IN ({query})"

    # --- queries

    def source(self, depth):
        """Return a FROM clause and its context."""
        if depth > 0 and self.chance(30):
            alias = self.name()
            query, columns = self.rows(depth - 1)
            return f"({query}) AS {alias}", [(alias, columns)]
        table = self.pick(*self.tables)
        alias = self.name()
        return f"{table} AS {alias}", [(alias, SOURCES[table])]

    def joined(self, depth):
        left, context = self.source(depth)
        if not self.chance(45):
            return left, context
        kind = self.pick(*self.joins)
        if kind == "LATERAL":
            return self.lateral(left, context)
        right, right_context = self.source(depth - 1)
        both = [*context, *right_context]
        if kind == "CROSS JOIN":
            return f"{left} CROSS JOIN {right}", both
        if kind == "ASOF JOIN":
            right_id = f"{right_context[0][0]}.id"
            on = f"{self.number_column(context)} >= {right_id}"
            return f"{left} ASOF JOIN {right} ON {on}", both
        equal = f"{self.number_column(context)} = {self.number_column(right_context)}"
        extra = f" AND {self.condition(both, 1)}" if self.chance(35) else ""
        has_left_columns_only = "SEMI" in kind or "ANTI" in kind
        if has_left_columns_only and len(context) == 1 and self.chance(40):
            return f"{left} {kind} {right} USING (id)", context
        text = f"{left} {kind} {right} ON {equal}{extra}"
        return text, context if has_left_columns_only else both

    def lateral(self, left, context):
        alias = self.name()
        inner = self.name()
        table = self.pick("t", "u")
        both = [(inner, SOURCES[table]), *context]
        where = f"{inner}.id = {self.number_column(context)}"
        extra = f" AND {self.condition(both, 1)}" if self.chance(40) else ""
        query = (
            f"SELECT {inner}.id AS id, 1 AS k, {self.text(both, 1)} AS v FROM {table} AS {inner} WHERE {where}{extra}"
        )
        text = f"{left}, LATERAL ({query}) AS {alias}"
        return text, [*context, (alias, ROW)]

    def rows(self, depth):
        """Return a query and its columns: id, a number, a text."""
        kind = self.pick(*self.kinds)
        if kind == "union" and depth > 0:
            first, columns = self.rows(depth - 1)
            second, _ = self.rows(depth - 1)
            word = self.pick("UNION ALL", "UNION", "EXCEPT", "INTERSECT")
            return f"({first}) {word} ({second})", columns
        if kind == "values":
            values = "(VALUES (1, 2, 'x'), (2, 3, NULL), (3, 2, 'yes'))"
            return f"SELECT * FROM {values} AS w(id, k, v)", ROW
        if kind == "recursive":
            return self.recursive()
        source, context = self.joined(depth)
        where = f" WHERE {self.condition(context, 2)}" if self.chance(60) else ""
        if kind in {"group", "sets"}:
            return self.group(source, context, where, sets=kind == "sets")
        if kind in {"distinct on", "limited"}:
            return self.limit(source, context, where, kind)
        if kind in {"first rows", "distinct rows"}:
            return self.first_rows(source, context, where, distinct=kind == "distinct rows")
        if kind == "of each group":
            return self.of_each_group(source, context, where)
        if kind == "window":
            text = self.text(context, 1)
            window = f"count(*) OVER (PARTITION BY {self.text(context, 1)})"
            items = f"{self.number_column(context)} AS id, {window} AS k, {text} AS v"
            return f"SELECT {items} FROM {source}{where}", ROW
        number = self.number(context, 1)
        text = self.text(context, 2)
        items = f"{self.number_column(context)} AS id, {number} AS k, {text} AS v"
        distinct = "DISTINCT " if kind == "distinct" else ""
        qualify = ""
        if kind == "qualify":
            qualify = " QUALIFY rank() OVER (PARTITION BY k ORDER BY id) <= 2"
        return f"SELECT {distinct}{items} FROM {source}{where}{qualify}", ROW

    def recursive(self):
        text = self.pick("v", "ai_query('m', v)", "v || 'x'", "ai_query('m', v || id)")
        query = f"SELECT 1 AS id, 'a' AS v UNION ALL SELECT id + 1, {text} FROM r WHERE id < 4"
        last = self.pick("v", "ai_query('m', v)")
        text = f"WITH RECURSIVE r(id, v) AS ({query}) SELECT id, id AS k, {last} AS v FROM r"
        return text, ROW

    def limit(self, source, context, where, kind):
        """Limit the rows by a total order: the id, then the rest of the row."""
        items = (
            f"{self.number_column(context)} AS id, {self.number_column(context)} AS k, {self.text_column(context)} AS v"
        )
        if kind == "limited":
            limited = f"SELECT {items} FROM {source}{where} ORDER BY ALL LIMIT {self.pick('2', '5')}"
        else:
            limited = f"SELECT DISTINCT ON (id) * FROM (SELECT {items} FROM {source}{where}) ORDER BY id, k, v"
        alias = self.name()
        text = self.text([(alias, ROW)], 1)
        query = f"SELECT {alias}.id, {alias}.k, {text} AS v FROM ({limited}) AS {alias}"
        return query, ROW

    def first_rows(self, source, context, where, *, distinct):
        """Limit the rows by a total order over the columns of the source, so that no answer decides about the order."""
        columns = [f"{alias}.{column}" for alias, names in context for column in names]
        start = self.draw(st.integers(0, len(columns) - 1))
        direction = self.pick("", " DESC")
        order = ", ".join(f"{column}{direction}" for column in [*columns[start:], *columns[:start]])
        number = self.number_column(context)
        text = self.text(context, 1)
        if distinct:
            other = self.number_column(context)
            items = f"DISTINCT {number} AS id, {other} AS k, NULL AS v"
            order = f"{number}{direction}, {other}"
        else:
            items = f"{number} AS id, {self.number(context, 1)} AS k, {text} AS v"
        offset = self.pick("", "", f" {self.offset} 1", f" {self.offset} 4")
        return f"SELECT {items} FROM {source}{where} ORDER BY {order} LIMIT {self.pick('1', '3', '20')}{offset}", ROW

    def of_each_group(self, source, context, where):
        """Take one row of each group by a total order."""
        columns = ", ".join(f"{alias}.{column}" for alias, names in context for column in names)
        text = self.text(context, 2)
        key = self.number_column(context)
        if self.chance(50):
            chosen = self.pick(f"first({text} ORDER BY {columns})", f"any_value({text} ORDER BY {columns})")
            return f"SELECT {key} AS id, count(*) AS k, {chosen} AS v FROM {source}{where} GROUP BY {key}", ROW
        items = f"{key} AS id, {self.number_column(context)} AS k, {text} AS v"
        return f"SELECT DISTINCT ON ({key}) {items} FROM {source}{where} ORDER BY {key}, {columns}", ROW

    def group(self, source, context, where, *, sets=False):
        key = self.text(context, 1)
        aggregate = self.aggregate(context)
        text = f"ai_query('m', {aggregate})" if self.chance(50) else aggregate
        having = f" HAVING count(*) >= {self.pick('1', '2')}" if self.chance(30) else ""
        if self.chance(15):
            having += f" {'AND' if having else 'HAVING'} {aggregate} <> 'yes'"
        key_name = self.number_column(context)
        group = self.pick("GROUP BY ALL", f"GROUP BY {key_name}", f"GROUP BY {key_name}, {key}")
        if sets:
            group = f"GROUP BY {self.pick('GROUPING SETS', 'GROUPING SETS', 'ROLLUP', 'CUBE')} ({key_name}, {key})"
        items = f"{key_name} AS id, count(*) AS k, {text} AS v"
        return f"SELECT {items} FROM {source}{where} {group}{having}", ROW

    def aggregate(self, context):
        return self.pick(
            f"max({self.text(context, 1)})",
            f"string_agg({self.text_column(context)}, ',' ORDER BY {self.text_column(context)})",
            f"min({self.text_column(context)})",
        )

    def first_rows_of_a_table(self):
        """Return a query of one table with a LIMIT: its rows come in the order of the table."""
        table = self.pick("t", "t", "u")
        alias = self.name()
        context = [(alias, SOURCES[table])]
        where = f" WHERE {self.condition(context, 2)}"
        limit = f" LIMIT {self.pick('1', '3', '20')}{self.pick('', '', f' {self.offset} 2')}"
        if "SELECT" in where or not self.keeps_order:  # the rows of a join have no order
            limit = f" ORDER BY {', '.join(f'{alias}.{column}' for column in SOURCES[table])}{limit}"
        return f"SELECT {alias}.*, {self.text(context, 1)} AS r FROM {table} AS {alias}{where}{limit}", True

    def query(self):
        """Return a whole query, and whether its rows have an order."""
        if self.chance(25):
            first, columns = self.rows(1)
            alias = self.name()
            context = [(alias, columns)]
            where = f" WHERE {self.condition(context, 2)}" if self.chance(60) else ""
            materialized = self.pick(*self.materialized)
            body = f"SELECT {alias}.id, {self.text(context, 2)} AS r FROM c AS {alias}{where}"
            text = f"WITH c AS {materialized}({first}) {body}"
        elif self.chance(35):
            source, context = self.joined(1)
            count = self.pick(1, 2, 3)
            items = [self.expression(context) for _ in range(count)]
            where = f" WHERE {self.condition(context, 3)}" if self.chance(70) else ""
            text = f"SELECT {', '.join(items)} FROM {source}{where}"
        elif self.chance(15):
            return self.first_rows_of_a_table()
        else:
            text, _ = self.rows(2)
        if self.chance(25):
            limit = f" LIMIT {self.pick('1', '3', '100')}" if self.chance(50) else ""
            offset = " OFFSET 1" if limit and self.chance(30) else ""
            order = f"ORDER BY ALL{limit}{offset}"
            return f"SELECT * FROM ({text}) AS ordered {order}", True
        return text, False
