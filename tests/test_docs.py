"""The documents run, and say what the code says."""

import doctest
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import aiquery
from aiquery import errors, plugins
from aiquery.endpoint import Endpoint

ROOT = Path(__file__).parent.parent


def blocks(path, language="python"):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / path).read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("path", ["README.md", "docs/testing.md"])
def test_python_blocks_run(path):
    for block in blocks(path):
        exec(compile(block, path, "exec"), {})  # noqa: S102  our own documents


@pytest.mark.parametrize("module", ["aiquery.engines.duckdb.connect", "aiquery.testing"])
def test_docstrings_run(module):
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted > 0
    assert found.failed == 0


def test_the_reference_is_what_the_code_says():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert (ROOT / "docs" / "reference.md").read_text("utf-8") == generate.reference(), "run `make docs`"


def test_every_function_setting_and_error_is_documented():
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    for function in plugins.functions().values():
        assert all(f"`{parameter.name}`" in text for parameter in function.parameters)
    for setting in Endpoint.__struct_fields__:
        assert f"`{setting}`" in text
        assert re.search(rf"\b{setting}\b", Endpoint.__doc__ or ""), setting
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.AIQueryError):
            assert f"`{name}`" in text


def test_every_command_has_help_that_the_readme_names():
    readme = (ROOT / "README.md").read_text("utf-8")
    for command in (["demo"], ["sql"], ["endpoints"], ["endpoints", "test"], ["answers"], ["config"]):
        done = subprocess.run([sys.executable, "-m", "aiquery", *command, "--help"], capture_output=True, check=True)
        assert done.stdout
        assert f"aiquery {' '.join(command)}" in readme


def test_the_toml_block_of_the_readme_is_a_configuration():
    import tomllib

    config = aiquery.config.Config(tomllib.loads(blocks("README.md", "toml")[0]), "README.md")
    assert config.endpoint("my-model").max_concurrency == 512


def test_public_names_are_few_and_importing_them_is_light():
    heavy = ("duckdb", "pyarrow", "sqlglot", "aiohttp", "typer")
    code = f"import sys, aiquery; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert len(aiquery.__all__) <= 25
    assert all(getattr(aiquery, name) for name in aiquery.__all__)
