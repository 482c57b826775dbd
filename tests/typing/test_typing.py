"""Types for users: mypy and pyright accept correct code, and report wrong calls."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WRONG = {i for i, line in enumerate((HERE / "wrong_code.py").read_text().splitlines(), 1) if line.endswith("# wrong")}


def run_mypy(path):
    command = [sys.executable, "-m", "mypy", "--no-error-summary"]
    done = subprocess.run(
        [*command, "--config-file", HERE / "mypy.ini", path], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode in {0, 1}, done.stderr
    lines = [line for line in done.stdout.splitlines() if path.name in line]
    return [int(re.search(r":(\d+): error", line)[1]) for line in lines if "error" in line]


def run_pyright(path):
    environment = os.environ | {
        "PYRIGHT_PYTHON_CACHE_DIR": str(ROOT / ".cache" / "pyright"),
        "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "-p", HERE, path],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    if "generalDiagnostics" not in done.stdout:
        pytest.fail(f"pyright did not run: {done.stdout} {done.stderr}")
    problems = json.loads(done.stdout)["generalDiagnostics"]
    return [one["range"]["start"]["line"] + 1 for one in problems if one["severity"] == "error"]


CHECKERS = pytest.mark.parametrize("check", [run_mypy, run_pyright])


@CHECKERS
def test_correct_code_has_no_error(check):
    assert check(HERE / "user_code.py") == []


@CHECKERS
def test_each_wrong_call_is_reported(check):
    assert set(check(HERE / "wrong_code.py")) == WRONG
