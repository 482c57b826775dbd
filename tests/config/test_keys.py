"""Keys from a variable, a file or a command: what is read, what is refused, and a key that changes during a run."""

import os
import shlex
import sys
import threading
import time

import pytest

from aiquery.config.credentials import describe_key, read_credentials
from aiquery.config.settings import Config
from aiquery.errors import ConfigError, MissingKey
from aiquery.secrets import hide_secrets
from aiquery.testing import Answer

KEY = "key-of-the-hour"


def endpoint(**settings):
    return Config({"endpoints": {"m": {"base_url": "http://127.0.0.1:1/v1", **settings}}}).endpoint("m")


def python(code):
    """Return a command that runs Python code."""
    return shlex.join([sys.executable, "-c", code])


def read(**settings):
    return read_credentials(endpoint(**settings)).key.reveal()


@pytest.mark.parametrize("content", [KEY, f"{KEY}\n", f"{KEY}\r\n", f"\ufeff  {KEY}\n\n"])
def test_a_file_holds_the_key(tmp_path, content):
    path = tmp_path / "key"
    path.write_text(content, encoding="utf-8")
    assert read(api_key_file=str(path)) == KEY
    assert hide_secrets(f"it is {KEY}") == "it is ***"


def test_a_file_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").write_text(KEY)
    assert read(api_key_file="~/key") == KEY


def test_a_command_prints_the_key():
    assert read(api_key_command=python(f"print('{KEY}')")) == KEY


def test_a_command_runs_without_a_shell(tmp_path):
    with pytest.raises(MissingKey):
        read(api_key_command=f"no-such-program; touch {tmp_path}/made")
    assert read(api_key_command=f"echo $HOME > {tmp_path}/made") == f"$HOME > {tmp_path}/made"
    assert not (tmp_path / "made").exists()


WRONG_KEYS = {
    "is empty": "",
    "has a line break": "one\ntwo",
    "or a control character": "a\x00b",
    "more than 16384 bytes": "x" * 20_000,
}


@pytest.mark.parametrize("error", WRONG_KEYS)
def test_a_wrong_key_is_an_error_that_does_not_show_it(tmp_path, error):
    (tmp_path / "key").write_text(WRONG_KEYS[error])
    for settings in (
        {"api_key_file": str(tmp_path / "key")},
        {"api_key_command": python(f"print(open('{tmp_path}/key').read())")},
    ):
        with pytest.raises(ConfigError, match=error) as raised:
            read(**settings)
        assert "api_key_" in str(raised.value)
        assert "xxxx" not in str(raised.value)


MISSING = {
    "cannot be read: No such file": {"api_key_file": "/no/such/file"},
    "is not a regular file": {"api_key_file": "/"},
    "'no-such-program' cannot be run": {"api_key_command": "no-such-program --now"},
    "ended with status 3: please log in": {
        "api_key_command": python("import sys; print('please log in', file=sys.stderr); sys.exit(3)")
    },
}


@pytest.mark.parametrize("error", MISSING)
def test_a_missing_key_says_why(error):
    with pytest.raises(MissingKey, match=error):
        read(**MISSING[error])


WRONG_SETTINGS = {
    "api_key_env and api_key_file exclude each other": {"api_key_env": "A", "api_key_file": "b"},
    "api_key_file and api_key_command exclude": {"api_key_file": "a", "api_key_command": "b"},
    "api_key_command cannot be read: No closing quotation": {"api_key_command": "echo 'a"},
    "api_key_command is empty": {"api_key_command": " "},
    "api_key_file is empty": {"api_key_file": ""},
    "has a character that no path": {"api_key_file": "a\0b"},
    "or argument can have": {"api_key_command": "echo \udcff"},
    "must be the name of an environment variable": {"api_key_env": ""},
}


@pytest.mark.parametrize("error", WRONG_SETTINGS)
def test_wrong_settings_are_refused_when_they_are_read(error):
    with pytest.raises(ConfigError, match=error):
        endpoint(**WRONG_SETTINGS[error])


def test_a_statement_says_that_the_key_is_missing_before_the_first_request(serve, connect):
    server = serve()
    for settings in ({"api_key_file": "/no/such/file"}, {"api_key_command": "no-such-program"}):
        con = connect(m={"base_url": server.base_url, **settings})
        with pytest.raises(MissingKey, match="api_key_"):
            con.sql("SELECT ai_query('m', 'q')")
    assert not server.requests


def test_a_command_that_fails_ends_the_statement_with_its_message(serve, connect):
    server = serve()
    command = python("import sys; sys.exit('please log in')")
    con = connect(m={"base_url": server.base_url, "api_key_command": command})
    with pytest.raises(MissingKey, match="please log in"):
        con.sql("SELECT ai_query('m', 'q' || i) FROM range(50) t(i)").fetchall()
    assert not server.requests


@pytest.mark.parametrize("source", ["file", "command", "env"])
def test_a_key_that_expires_during_a_run_is_read_again_once(serve, connect, tmp_path, monkeypatch, source):
    """500 rows; the server changes its key after 100 replies. Every row gets its answer."""
    path = tmp_path / "key"
    reads = tmp_path / "reads"
    reads.touch()
    code = f"open('{reads}', 'a').write('r'); print(open('{path}').read())"
    settings = {
        "file": {"api_key_file": str(path)},
        "command": {"api_key_command": python(code)},
        "env": {"api_key_env": "THE_HOURLY_KEY"},
    }

    def write_key(key):
        path.write_text(key)
        monkeypatch.setenv("THE_HOURLY_KEY", key)

    def answer(_):
        if len(server.requests) == 100:
            server.api_key = "second-key"
            write_key("second-key")
        return Answer()

    write_key("first-key")
    server = serve(answer, api_key="first-key", latency=0.01)
    con = connect(m={"base_url": server.base_url, **settings[source]})
    rows = con.sql("SELECT ai_query('m', 'q' || i) FROM range(500) t(i)").fetchall()
    assert len({answer for (answer,) in rows}) == 500
    if source == "command":
        assert reads.read_text() == "rr"


@pytest.fixture
def count_reads(serve, connect, tmp_path):
    """Return a function that runs a statement with a wrong key, and returns how often its command ran."""

    def run(rows, takes_s=0.0):
        reads = tmp_path / "reads"
        reads.touch()
        server = serve(api_key="right")
        command = python(f"import time; open('{reads}', 'a').write('r'); time.sleep({takes_s}); print('wrong')")
        con = connect(m={"base_url": server.base_url, "api_key_command": command})
        with pytest.raises(Exception, match="HTTP 401"):
            con.sql(f"SELECT ai_query('m', 'q' || i) FROM range({rows}) t(i)").fetchall()
        return len(reads.read_text())

    return run


def test_a_key_that_stays_wrong_is_read_again_once(count_reads):
    assert count_reads(100) == 2


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        ("Bearer token-ABCDEFGH123", ["token-ABCDEFGH123"]),
        ("Basic YWxpY2U6UzNjcmV0UGFzcw==", ["alice:S3cretPass", "S3cretPass", "YWxpY2U6UzNjcmV0UGFzcw=="]),
        ("sid=cookie-of-a-session; theme=dark", ["cookie-of-a-session"]),
    ],
)
def test_the_parts_of_a_header_are_secrets_too(monkeypatch, value, secrets):
    monkeypatch.setenv("THE_PARTS", value)
    read_credentials(endpoint(headers={"X-Auth": "$THE_PARTS"}))
    for secret in secrets:
        assert hide_secrets(f"'{secret}' is bad") == "'***' is bad"


def test_a_variable_that_is_not_utf_8_is_an_error(monkeypatch):
    monkeypatch.setenv("THE_BYTES", "key\udcff")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read(api_key_env="THE_BYTES")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MissingKey, match="not a regular file"):
        read(api_key_file=str(tmp_path / "pipe"))


@pytest.mark.parametrize("path", ["~no-such-user/key", "/no/such/file"])
def test_a_path_that_cannot_be_read_is_described(path):
    assert "NOT FOUND" in describe_key(endpoint(api_key_file=path))


@pytest.mark.parametrize("command", ["yes", "sh -c 'yes >&2 & yes'"])
def test_endless_output_is_stopped(command):
    with pytest.raises(ConfigError, match="more than 16384 bytes"):
        read(api_key_command=command)


def test_a_command_that_does_not_end_is_killed_with_its_children(monkeypatch, tmp_path):
    monkeypatch.setattr("aiquery.config.credentials.COMMAND_S", 1.0)
    with pytest.raises(MissingKey, match="did not end within 1 s and was stopped"):
        read(api_key_command=f"sh -c 'sh -c \"sleep 3; touch {tmp_path}/made\" & sleep 3'")
    time.sleep(4)
    assert not (tmp_path / "made").exists()


def test_a_child_that_keeps_the_output_open_is_not_waited_for():
    assert read(api_key_command="sh -c 'echo the-printed-key; sleep 20 &'") == "the-printed-key"


def test_a_child_that_goes_on_writing_is_not_waited_for():
    assert read(api_key_command="sh -c 'echo the-printed-key; (while echo x >&2; do :; done) &'") == "the-printed-key"


def test_what_a_failing_command_printed_is_not_shown():
    command = "sh -c 'echo sk-failkey123456789; echo sk-failkey123456789 was rejected >&2; exit 3'"
    with pytest.raises(MissingKey, match=r"status 3: \*\*\* was rejected"):
        read(api_key_command=command)


def test_the_arguments_of_a_command_are_not_shown():
    shown = endpoint(api_key_command="vault read -token=hvs.SECRET")
    assert "hvs" not in repr(shown) + shown.limits() + describe_key(shown)


def test_a_slow_command_holds_up_no_other_endpoint(serve, connect, tmp_path):
    server = serve()
    command = python(
        f"import time, pathlib\nwhile not pathlib.Path('{tmp_path}/go').exists(): time.sleep(0.05)\nprint('k')"
    )
    slow = {"base_url": server.base_url, "api_key_command": command}
    con = connect(slow=slow, quick={"base_url": server.base_url})
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(con.cursor().sql("SELECT ai_query('slow', 'a')").fetchall())
    )
    thread.start()
    assert con.sql("SELECT ai_query('quick', 'b')").fetchall() == [("echo: b",)]
    assert not answers
    (tmp_path / "go").touch()
    thread.join(20)
    assert answers == [[("echo: a",)]]


def test_a_reading_that_takes_long_is_done_once(count_reads, monkeypatch):
    monkeypatch.setattr("aiquery.providers.http.key_renewal._PAUSE_S", 0.3)
    assert count_reads(16, takes_s=0.6) == 2


def test_a_token_for_one_request_is_read_for_each(serve, connect, tmp_path):
    """The server takes every key once."""
    counter = tmp_path / "count"
    counter.write_text("0")
    used = set()
    code = f"p = '{counter}'; n = int(open(p).read()) + 1; open(p, 'w').write(str(n)); print(f'key-{{n}}')"

    def answer(question):
        key = question.headers["authorization"]
        if key in used:
            return Answer(status=401)
        used.add(key)
        return Answer()

    server = serve(answer)
    con = connect(m={"base_url": server.base_url, "api_key_command": python(code), "max_concurrency": 1})
    rows = con.sql("SELECT ai_query('m', 'q' || i) FROM range(5) t(i)").fetchall()
    assert len(set(rows)) == 5
