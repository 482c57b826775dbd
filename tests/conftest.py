"""What every test may use: a test endpoint, and connections that are closed."""

import socket
from pathlib import Path

import hypothesis
import pytest

import aiquery
import duckdb
from aiquery.testing import EndpointServer

hypothesis.settings.register_profile(
    "aiquery", deadline=None
)  # no timed asserts: late imports count as time
hypothesis.settings.load_profile("aiquery")


def pytest_addoption(parser):
    parser.addoption(
        "--engine",
        default="duckdb",
        choices=["duckdb", "spark"],
        help="what the conformance tests run on",
    )


ROOT = Path(__file__).parent.parent
LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch):
    """Tests speak to this machine only: any other address is refused, by name."""
    connect = socket.socket.connect

    def guarded(self, address):
        if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
            message = f"a test tried to reach {address[0]}"
            raise AssertionError(message)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def no_configuration_around(monkeypatch, tmp_path):
    """The machine's own configuration is not the tests'."""
    monkeypatch.delenv("AIQUERY_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("AIQUERY_CACHE", str(tmp_path / "answers.sqlite"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def nothing_is_late(monkeypatch):
    """On a busy machine a request may take long for no reason; tests that count calls must not see it asked twice."""
    monkeypatch.setattr("aiquery.inference.scheduling.hedging.MIN_LATE_S", 1.5)


@pytest.fixture
def serve():
    """Start test endpoints that end with the test."""
    servers = []

    def start(*args, **settings):
        server = EndpointServer(*args, **settings).__enter__()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture
def connect():
    """Open connections of ours that are closed with the test; keyword arguments are endpoints."""
    opened = []

    def start(**endpoints):
        con = aiquery.connect(config={"endpoints": endpoints})
        opened.append(con)
        return con

    yield start
    for con in opened:
        con.close()


@pytest.fixture(scope="session")
def session(tmp_path_factory):
    """Start Spark once, with two Python workers; with Delta where there are jars of it for this version of Spark."""
    import pyspark

    from aiquery.engines.spark.driver.session import EXTENSION, JAR, session

    jars = sorted((ROOT / ".cache" / "delta" / pyspark.__version__).glob("*.jar"))
    delta = {
        "spark__jars": ",".join(map(str, [JAR, *jars])),
        "spark__sql__extensions": f"{EXTENSION},io.delta.sql.DeltaSparkSessionExtension",
        "spark__sql__catalog__spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark__sql__catalog__main": "org.apache.spark.sql.aiquery.LocalCatalog",
        "spark__sql__sources__default": "delta",
        "spark__databricks__delta__snapshotPartitions": "2",
    }
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv(
        "AIQUERY_CACHE", str(tmp_path_factory.mktemp("answers") / "answers.sqlite")
    )
    spark = session(
        "local[2]",
        spark__ui__enabled="false",
        spark__sql__shuffle__partitions="2",
        spark__sql__warehouse__dir=str(tmp_path_factory.mktemp("warehouse")),
        spark__driver__bindAddress="127.0.0.1",
        spark__driver__host="127.0.0.1",
        # the jobs are short: a JIT is most of their time
        spark__driver__extraJavaOptions="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        **(delta if jars else {}),
    )
    spark.sparkContext.setLogLevel("OFF")
    yield spark
    spark.stop()
    monkeypatch.undo()


@pytest.fixture
def plain():
    """Open plain DuckDB connections with the functions registered."""
    opened = []

    def start(**endpoints):
        con = duckdb.connect()
        aiquery.register(con, {"endpoints": endpoints})
        opened.append(con)
        return con

    yield start
    for con in opened:
        con.close()


@pytest.fixture
def endpoint(serve):
    """One echoing test endpoint."""
    return serve()


def fake(**options):
    """Return the configuration row of a fake endpoint."""
    return {"provider": "fake", "options": options}
