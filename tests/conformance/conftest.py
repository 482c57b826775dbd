"""Each file tests one behaviour on every engine: both kinds of DuckDB connection, or Spark with ``--engine=spark``."""

import pytest
from engines import DuckDB, Spark


def pytest_generate_tests(metafunc):
    if "engine_name" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--engine")
        names = ["duckdb", "duckdb-registered"] if chosen == "duckdb" else [chosen]
        metafunc.parametrize("engine_name", names)


def pytest_collection_modifyitems(items):
    """Expect tests with ``@pytest.mark.gap("spark", reason)`` to fail on that engine."""
    for item in items:
        for gap in item.iter_markers("gap"):
            engine, reason = gap.args
            if find_engine(item) == engine:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def find_engine(item):
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("engine_name") if callspec else None


@pytest.fixture
def engine(engine_name, request):
    """Return a function that opens an engine with endpoints, ``defaults`` and ``budget``."""
    opened = []

    def start(defaults=None, budget=None, **endpoints):
        config = {"endpoints": endpoints, "defaults": defaults or {}, "budget": budget or {}}
        if engine_name == "spark":
            engine = Spark(request.getfixturevalue("session"), config)
        else:
            engine = DuckDB(engine_name, config)
        opened.append(engine)
        return engine

    yield start
    for engine in opened:
        engine.close()
