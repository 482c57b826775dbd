"""The documents run, and say what the code says."""

import doctest
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import aiquery
from aiquery import errors, registry
from aiquery.config.endpoint import Endpoint

ROOT = Path(__file__).parent.parent


def blocks(path, language="python"):
    return re.findall(
        rf"```{language}\n(.*?)```", (ROOT / path).read_text("utf-8"), re.DOTALL
    )


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "docs/testing.md",
        "docs/incremental.md",
        "docs/observing.md",
        "docs/cookbook/workloads.md",
    ],
)
def test_python_blocks_run(path):
    for block in blocks(path):
        if "on=spark" in block:
            continue  # tests/spark/test_spark_workloads.py has it
        exec(compile(block, path, "exec"), {})  # noqa: S102  our own documents


@pytest.mark.parametrize(
    "module", ["aiquery.engines.duckdb.connection", "aiquery.testing"]
)
def test_docstrings_run(module):
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted > 0
    assert found.failed == 0


def test_the_reference_is_what_the_code_says():
    spec = importlib.util.spec_from_file_location(
        "generate", ROOT / "docs" / "generate.py"
    )
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert (ROOT / "docs" / "reference.md").read_text(
        "utf-8"
    ) == generate.reference(), "run `make docs`"
    pages = {
        path.stem: path.read_text("utf-8")
        for path in (ROOT / "docs" / "functions").iterdir()
    }
    assert pages == {
        name: generate.page(f) for name, f in registry.functions().items()
    }, "run `make docs`"


EXAMPLES = [
    (name, i)
    for name, f in registry.functions().items()
    for i in range(len(f.examples))
]


@pytest.mark.parametrize(("name", "i"), EXAMPLES)
def test_the_examples_of_the_pages_show_what_they_say(name, i):
    example = registry.functions()[name].examples[i]
    chat = {
        "provider": "fake",
        "options": {} if example.reply is None else {"reply": example.reply},
    }
    embedding = {
        "provider": "fake",
        "task": "embedding",
        "options": {"dimensions": 384},
    }
    endpoints = {"c": chat, "e": embedding, "local:smollm2-135m-instruct": chat}
    config = {"endpoints": endpoints, "defaults": {"chat": "c", "embedding": "e"}}
    with aiquery.connect(config=config) as con:
        shown = con.sql(example.sql, dialect="databricks").fetchall()
    assert [str(value) for row in shown for value in row] == [example.shows]


@pytest.mark.local_model
@pytest.mark.parametrize(
    "name",
    [
        name
        for name in registry.functions()
        if name not in {"ai_embed", "ai_similarity"}
    ],
)
def test_the_examples_of_the_pages_run_on_the_local_model(name):
    with aiquery.connect(config={}) as con:
        for example in registry.functions()[name].examples:
            sql = example.sql.replace("fake:any", "local:smollm2-135m-instruct")
            ((value,),) = con.sql(sql, dialect="databricks").fetchall()
            assert value is not None


def test_every_function_setting_and_error_is_documented():
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    for name, function in registry.functions().items():
        page = (ROOT / "docs" / "functions" / f"{name}.md").read_text("utf-8")
        assert f"functions/{name}.md" in text
        assert all(f"`{parameter.name}`" in page for parameter in function.parameters)
    for setting in Endpoint.__struct_fields__:
        assert f"`{setting}`" in text
        assert re.search(rf"\b{setting}\b", Endpoint.__doc__ or ""), setting
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.AIQueryError):
            assert f"`{name}`" in text


def test_every_command_has_help_that_the_readme_names():
    readme = (ROOT / "README.md").read_text("utf-8")
    for command in (
        ["demo"],
        ["sql"],
        ["endpoints"],
        ["endpoints", "test"],
        ["cache"],
        ["config"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "aiquery", *command, "--help"],
            capture_output=True,
            check=True,
        )
        assert done.stdout
        assert f"aiquery {' '.join(command)}" in readme


def test_the_toml_block_of_the_readme_is_a_configuration():
    import tomllib

    config = aiquery.config.settings.Config(
        tomllib.loads(blocks("README.md", "toml")[0]), "README.md"
    )
    assert config.endpoint("my-model").max_concurrency == 512


def test_public_names_are_few_and_importing_them_is_light():
    heavy = ("duckdb", "pyarrow", "sqlglot", "aiohttp", "typer")
    code = f"import sys, aiquery; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert len(aiquery.__all__) <= 25
    assert all(getattr(aiquery, name) for name in aiquery.__all__)
