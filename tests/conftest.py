"""Fixtures of all tests: a test endpoint, and connections that are closed after the test."""

import os
import socket
from pathlib import Path

import duckdb
import hypothesis
import pytest

import aiquery
from aiquery.testing import EndpointServer

# without a deadline: late imports take time
hypothesis.settings.register_profile("aiquery", deadline=None)
hypothesis.settings.load_profile("aiquery")


def pytest_addoption(parser):
    parser.addoption(
        "--engine", default="duckdb", choices=["duckdb", "spark"], help="the engine of the conformance tests"
    )


ROOT = Path(__file__).parent.parent
LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch):
    """Fail a test that connects to another machine."""
    connect = socket.socket.connect

    def connect_to_loopback(self, address):
        if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
            message = f"a test tried to reach {address[0]}"
            raise AssertionError(message)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_to_loopback)


@pytest.fixture(autouse=True)
def without_user_configuration(monkeypatch, tmp_path):
    """Hide the configuration and the cache of the machine's user."""
    monkeypatch.delenv("AIQUERY_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("AIQUERY_CACHE", str(tmp_path / "answers.sqlite"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def hedge_late(monkeypatch):
    """Hedge later than by default, so that a slow machine does not change the number of calls."""
    monkeypatch.setattr("aiquery.inference.scheduling.hedging.MIN_LATE_S", 1.5)


@pytest.fixture
def serve():
    """Return a function that starts a test endpoint, which ends with the test."""
    servers = []

    def start(*args, **settings):
        server = EndpointServer(*args, **settings).__enter__()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture
def gcloud(tmp_path, monkeypatch):
    """A program of that name that prints a token."""
    program = tmp_path / "gcloud"
    program.write_text("#!/bin/sh\necho key-of-the-vendor\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.fixture
def connect():
    """Return a function that opens a connection, which is closed with the test. Keyword arguments are endpoints."""
    opened = []

    def start(**endpoints):
        con = aiquery.connect(config={"endpoints": endpoints})
        opened.append(con)
        return con

    yield start
    for con in opened:
        con.close()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory):
    """The address of a Redis server."""
    from redis_server import Redis

    redis = Redis(tmp_path_factory.mktemp("redis"))
    redis.start()
    yield redis.url
    redis.stop()


@pytest.fixture
def coordinator():
    """A coordinator that listens on the loopback interface."""
    from aiquery.inference.cluster.coordinator import Coordinator
    from aiquery.runtime.event_loop import event_loop

    coordinator = Coordinator()
    event_loop().start(coordinator.start("127.0.0.1")).result()
    yield coordinator
    event_loop().start(coordinator.stop()).result()


@pytest.fixture(scope="session")
def session(tmp_path_factory):
    """A Spark session with two Python workers, and with Delta if its jars for this version of Spark are present."""
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
    monkeypatch.setenv("AIQUERY_CACHE", str(tmp_path_factory.mktemp("answers") / "answers.sqlite"))
    spark = session(
        "local[2]",
        spark__ui__enabled="false",
        spark__sql__shuffle__partitions="2",
        spark__sql__warehouse__dir=str(tmp_path_factory.mktemp("warehouse")),
        spark__driver__bindAddress="127.0.0.1",
        spark__driver__host="127.0.0.1",
        # the jobs are short, so that a full JIT would take most of their time
        spark__driver__extraJavaOptions="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        **(delta if jars else {}),
    )
    spark.sparkContext.setLogLevel("OFF")
    yield spark
    spark.stop()
    monkeypatch.undo()


@pytest.fixture
def plain():
    """Return a function that opens a plain DuckDB connection with the functions registered."""
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
    """A test endpoint that echoes its prompts."""
    return serve()


def fake(**options):
    """Return the configuration row of a fake endpoint."""
    return {"provider": "fake", "options": options}
