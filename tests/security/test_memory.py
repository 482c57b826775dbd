"""A hostile reply takes a bounded amount of memory, and ends as an answer or as the error of its row."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_MB = 64


@pytest.fixture
def hostile():
    command = [sys.executable, "-m", "tests.security.hostile_server"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()


def test_no_reply_takes_more_than_64_mb(hostile):
    command = [sys.executable, "-m", "tests.security.measure_memory", hostile]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert {name: mb for name, (mb, _) in found.items() if mb > MAX_MB} == {}
    assert {name: error for name, (_, error) in found.items() if len(error or "") > 1000} == {}
