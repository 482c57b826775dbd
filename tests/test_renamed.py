"""A name from before the first release is an error that names the new one."""

import importlib
import subprocess
import sys

import pytest

import aiquery
from aiquery.config.loader import load
from aiquery.errors import ConfigError, StatementError
from aiquery.estimate import EndpointEstimate, Estimate
from aiquery.tracking.run import Progress
from aiquery.updates.result import UpdateResult

SETTINGS = {
    "cache": {"answers": {"store": "memory:"}},
    "context_window": {"endpoints": {"m": {"context": 4096}}},
    "max_batch_size": {"endpoints": {"m": {"texts_per_request": 8}}},
    "attempt_s": {"endpoints": {"m": {"timeout": {"request_s": 10}}}},
}


@pytest.mark.parametrize("new", SETTINGS)
def test_a_renamed_setting(new):
    with pytest.raises(ConfigError, match=f"is now called.*{new}|{new}.*rename"):
        load(SETTINGS[new])


def test_the_renamed_variable_of_the_cache(monkeypatch):
    monkeypatch.setenv("AIQUERY_ANSWERS", "memory:")
    with (
        pytest.raises(ConfigError, match="AIQUERY_CACHE"),
        aiquery.connect(config={"endpoints": {"m": {"provider": "fake"}}}) as con,
    ):
        con.sql("SELECT ai_query('m', 'hi')")


def test_the_renamed_command():
    done = subprocess.run([sys.executable, "-m", "aiquery", "answers"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the command answers is now called cache" in done.stderr


PROGRESS = Progress(run="r", engine="duckdb", statement=None, state="done", started_at=0.0, seconds=1.0)
ESTIMATE = EndpointEstimate(
    endpoint="m",
    requests=1,
    cache_hits=0,
    tokens_in=1,
    tokens_source="",
    max_output_tokens=None,
    expected_output_tokens=None,
    cost_usd=None,
    prices_of=None,
    seconds=None,
)


@pytest.mark.parametrize(
    ("owner", "old", "new"),
    [
        (PROGRESS, "asked", "requests"),
        (PROGRESS, "stored", "cache_hits"),
        (PROGRESS, "shared", "deduplicated"),
        (PROGRESS, "not_kept", "not_stored"),
        (ESTIMATE, "answered", "cache_hits"),
        (ESTIMATE, "left", "requests_to_send"),
        (ESTIMATE, "tokens_from", "tokens_source"),
        (ESTIMATE, "tokens_out", "max_output_tokens"),
        (ESTIMATE, "expected_out", "expected_output_tokens"),
        (Estimate((ESTIMATE,), exact=True), "left", "requests_to_send"),
        (UpdateResult(), "refused", "rejected"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_renamed_attribute(owner, old, new):
    assert hasattr(owner, new)
    with pytest.raises(AttributeError, match=f"is now called {new}"):
        getattr(owner, old)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        owner.nonsense  # noqa: B018  the access is the test


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("on", "database"),
        ("every", "commit_every_rows"),
        ("seconds", "commit_every_seconds"),
        ("refresh", "refresh_changed"),
    ],
)
def test_a_renamed_argument_of_update(old, new):
    with pytest.raises(TypeError, match=f"'{old}' is now called {new}"):
        aiquery.update("t", "a = ai_query('m', s)", key="id", **{old: None})


@pytest.mark.parametrize(
    ("old", "new"),
    [("aiquery.engines.duckdb.dbt", "aiquery.dbt"), ("aiquery.engines.spark.daemon", "aiquery.spark.daemon")],
)
def test_a_renamed_module(old, new):
    with pytest.raises(ImportError, match=f"is now called {new}"):
        importlib.import_module(old)


@pytest.mark.parametrize(
    ("old", "new"),
    [("asked", "requests"), ("stored", "cache_hits"), ("shared", "deduplicated"), ("not_kept", "not_stored")],
)
def test_a_renamed_column_of_the_run_history(old, new):
    config = {"endpoints": {"m": {"provider": "fake"}}, "runs": {"store": "memory:"}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        assert con.sql(f"SELECT {new} FROM aiquery_runs()").columns == [new]
        with pytest.raises(StatementError, match=f"'{old}'.*is now called '{new}'"):
            con.sql(f"SELECT {old} FROM aiquery_runs()")
