"""One behaviour per file, run through every entrance: DuckDB's two, and with ``--engine=spark`` Spark."""

import pytest
from engines import DuckDB, Spark


def pytest_generate_tests(metafunc):
    if "engine_name" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--engine")
        names = ["duckdb", "duckdb-registered"] if chosen == "duckdb" else [chosen]
        metafunc.parametrize("engine_name", names)


def pytest_collection_modifyitems(items):
    """``@pytest.mark.gap("spark", reason)``: that engine cannot, and the test fails once it can."""
    for item in items:
        for gap in item.iter_markers("gap"):
            engine, reason = gap.args
            if (
                getattr(item, "callspec", None) is not None
                and item.callspec.params.get("engine_name") == engine
            ):
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


@pytest.fixture
def engine(engine_name, request):
    """Give an engine whose endpoints are the keyword arguments, ``defaults`` and ``budget`` those tables."""
    opened = []

    def start(defaults=None, budget=None, **endpoints):
        config = {
            "endpoints": endpoints,
            "defaults": defaults or {},
            "budget": budget or {},
        }
        if engine_name == "spark":
            found = Spark(request.getfixturevalue("session"), config)
        else:
            found = DuckDB(engine_name, config)
        opened.append(found)
        return found

    yield start
    for found in opened:
        found.close()
