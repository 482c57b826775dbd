"""Spark's own commands in processes of their own; a folder with the configuration adds the functions."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

READY_S = 120


def find_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def extract_error(stderr):
    """Return the last error of ``stderr`` without the frames of Java."""
    _, _, error = stderr.rpartition("Traceback (most recent call last)")
    lines = error.splitlines()
    without_frames = [line for line in lines if not line.lstrip().startswith("at ")]
    return "\n".join(without_frames)[:6000]


class Commands:
    """Runs ``bin/NAME`` of pyspark with the configuration in ``folder/conf``."""

    def __init__(self, folder, settings):
        import pyspark

        from aiquery.engines.spark.driver.java import find_java

        find_java()
        self.home = Path(pyspark.__file__).parent
        self.folder = folder
        self.stderr = folder / "stderr"
        (folder / "conf").mkdir()
        common = {
            "spark.ui.enabled": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
            "spark.ui.showConsoleProgress": "false",
            "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
            "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        }
        lines = [f"{name} {value}" for name, value in {**common, **settings}.items()]
        (folder / "conf" / "spark-defaults.conf").write_text("\n".join(lines), "utf-8")
        self.environment = {
            **os.environ,
            "SPARK_CONF_DIR": str(folder / "conf"),
            "SPARK_HOME": str(self.home),
            "PYSPARK_PYTHON": sys.executable,  # of the user's own functions
        }

    def run(self, name, *args):
        """Run a command to its end and return its output."""
        return self._run(self.home / "bin" / name, *args)

    def python(self, script, *args):
        """Run a Python script to its end and return its output."""
        return self._run(sys.executable, "-c", script, *args)

    @contextlib.contextmanager
    def running(self, script, *args):
        """Start a Python script; end it and its child processes at the end of the block."""
        with self.stderr.open("w") as stderr, subprocess.Popen(
            [sys.executable, "-c", script, *args],
            cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=stderr, text=True,
            start_new_session=True,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _run(self, *command):
        process = subprocess.run(
            command,
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert process.returncode == 0, extract_error(process.stderr)
        return process.stdout

    @contextlib.contextmanager
    def serving(self, port, *args):
        """Run ``spark-submit`` as a server that listens at ``port``."""
        with (self.folder / "server.log").open("w") as log:
            server = subprocess.Popen(
                [self.home / "bin" / "spark-submit", *args],
                cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            try:
                self._wait(server, port)
                yield
            finally:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()

    def _wait(self, server, port):
        for _ in range(10 * READY_S):
            assert server.poll() is None, self._read_log()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.1)
        raise AssertionError(self._read_log())

    def _read_log(self):
        return (self.folder / "server.log").read_text()[-3000:]
