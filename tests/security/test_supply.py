"""Programs, jars and actions that others wrote are pinned, and none comes from the working directory."""

import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "jvm").glob("*.py"), *(ROOT / "scripts").glob("*.py")])
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HASHES = (ROOT / "jvm" / "jars.sha256").read_text().splitlines()


def test_every_action_is_pinned_by_its_commit():
    found = [line for path in WORKFLOWS for line in re.findall(r"uses: (.*)", path.read_text())]
    assert found
    assert [line for line in found if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}  # v[\d.]+", line)] == []


def test_every_locked_package_has_a_hash():
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    files = [
        file
        for package in lock["package"]
        if "registry" in package["source"]
        for file in [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]
    ]
    assert len(files) > 100
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", file["hash"]) for file in files)


def test_every_fetched_jar_is_the_pinned_one():
    jars = [*(ROOT / ".cache").glob("munit/*/*.jar"), *(ROOT / ".cache").glob("delta/*/*.jar")]
    for jar in jars:
        assert f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}" in HASHES


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_command_goes_through_a_shell(path):
    text = path.read_text()
    assert "shell=True" not in text
    assert "os.system" not in text
    assert "eval(" not in text.replace("literal_eval(", "")
    assert not re.search(r"\bpickle\.loads?\(|yaml\.load\(", text)


def test_the_sidecar_imports_nothing_from_the_working_directory(tmp_path):
    marker = tmp_path / "ran"
    (tmp_path / "msgspec.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    source = (ROOT / "jvm" / "src" / "driver" / "Sidecar.scala").read_text()
    arguments = re.search(r"Seq\(python, (.*?)\)\n", source)[1]
    command = [sys.executable, *re.findall('"([^"]*)"', arguments)]
    done = subprocess.run(command, cwd=tmp_path, input="", capture_output=True, text=True, timeout=60, check=True)
    assert '"python"' in done.stdout
    assert not marker.exists()
