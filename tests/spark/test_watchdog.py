"""The watchdog of a task on systems without Linux's POLLRDHUP."""

import importlib
import os
import select
import subprocess
import sys
import threading

from aiquery.engines.spark.executor import watchdog


def test_the_watchdog_runs_without_pollrdhup(monkeypatch):
    monkeypatch.delattr(select, "POLLRDHUP", raising=False)
    reader, writer = os.pipe()
    stop = threading.Event()
    problems = []
    monkeypatch.setattr(threading, "excepthook", problems.append)
    with os.fdopen(reader, "rb") as stream, os.fdopen(writer, "wb"):
        thread = watchdog.TaskWatchdog().thread(stream, stop, lambda: None)
        thread.start()
        stop.set()
        thread.join(10)
        assert not thread.is_alive()
    assert problems == []


def test_every_module_imports_without_linux_only_names():
    script = """
import select, socket, signal, sys
for module, names in ((select, ["POLLRDHUP", "epoll"]),):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
import pkgutil, importlib, aiquery
for found in pkgutil.walk_packages(aiquery.__path__, "aiquery."):
    if not found.name.endswith(("__main__", ".daemon", "duckdb.dbt")):
        importlib.import_module(found.name)
print("imported")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "imported" in done.stdout, done.stderr
    assert importlib.import_module("aiquery.engines.spark.executor.watchdog")
