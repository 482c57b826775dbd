"""The documents run, their links resolve, and the references are what the code says."""

import doctest
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import aiquery
from aiquery import errors, registry
from aiquery.cli.main import app
from aiquery.config.endpoint import Endpoint

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
REFERENCE = DOCS / "reference"


def name_of(path):
    return str(path.relative_to(ROOT))


def blocks(path, language="python"):
    text = path.read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


PYTHON_BLOCKS = [
    pytest.param(block, id=f"{name_of(path)}-{i}") for path in PAGES for i, block in enumerate(blocks(path))
]


@pytest.mark.parametrize("block", PYTHON_BLOCKS)
def test_python_blocks_run(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "page", "exec"), {})  # noqa: S102  our own documents


def test_many_pages_have_python_blocks():
    assert len(PYTHON_BLOCKS) >= 15


LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


@pytest.mark.parametrize("path", [*PAGES, *ROOT.glob("[A-Z]*.md"), ROOT / "examples" / "README.md"], ids=name_of)
def test_links_resolve(path):
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    for target in LINK.findall(text):
        if "://" in target or target.startswith("#"):
            continue
        file, _, _ = target.partition("#")
        assert (path.parent / file).exists(), target


def test_every_page_is_in_the_index():
    index = (DOCS / "index.md").read_text("utf-8")
    functions = (REFERENCE / "functions.md").read_text("utf-8")
    for path in DOCS.rglob("*.md"):
        page = path.relative_to(DOCS).as_posix()
        if page == "index.md":
            continue
        listed = f"../{page}" in functions if page.startswith("functions/") else page in index
        assert listed, page


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 200


def test_the_architecture_is_short():
    assert len((ROOT / "ARCHITECTURE.md").read_text("utf-8").splitlines()) <= 150


WITH_EXAMPLES = [
    "aiquery",
    "aiquery.embedding",
    "aiquery.engines.duckdb.connection",
    "aiquery.functions",
    "aiquery.functions.ai_mask",
    "aiquery.functions.map_reduce",
    "aiquery.interfaces",
    "aiquery.sql.redact",
    "aiquery.testing",
    "aiquery.testing.answer",
    "aiquery.testing.endpoint",
    "aiquery.tracking.active",
    "aiquery.outgoing_text",
    "aiquery.requests.nesting",
    "aiquery.tracking.redaction",
    "aiquery.updates.api",
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_of_docstrings_run(module):
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.fixture(scope="module")
def generated():
    """Import the generator, and return the files that it would write."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return importlib.import_module("generate").generate()
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def test_generated_files_are_what_the_code_says(generated):
    for path, text in generated.items():
        assert path.read_text("utf-8") == text, f"{name_of(path)}: run `make docs`"
    pages = {path for path in generated if path.parent == DOCS / "functions"}
    assert pages == set((DOCS / "functions").iterdir())


def test_the_reference_names_every_parameter_and_attribute(generated):
    text = generated[DOCS / "reference" / "python.md"]
    reference = sys.modules["reference.python_api"]
    sections = [one for found in reference.public_objects(ROOT / "src") for one in found.docstring.parsed]
    items = [item for one in sections if one.kind.value in {"parameters", "attributes"} for item in one.value]
    assert len(items) > 50
    for item in items:
        assert f"- `{item.name}`: " in text


def test_public_docstrings_are_read_without_a_warning(caplog, generated):
    assert generated
    reference = sys.modules["reference.python_api"]
    for found in reference.public_objects(ROOT / "src"):
        assert found.docstring is not None, found.path
        assert found.docstring.parsed
    assert [record.getMessage() for record in caplog.records] == []


EXAMPLES = [(name, i) for name, f in registry.functions().items() for i in range(len(f.examples))]


@pytest.mark.parametrize(("name", "i"), EXAMPLES)
def test_the_examples_of_the_function_pages_give_the_shown_result(name, i):
    example = registry.functions()[name].examples[i]
    options = {} if example.reply is None else {"reply": example.reply}
    chat = {"provider": "fake", "options": options}
    embedding = {"provider": "fake", "task": "embedding", "options": {"dimensions": 384}}
    rerank = {"provider": "fake", "task": "rerank", "options": options}
    endpoints = {"c": chat, "e": embedding, "r": rerank, "local:smollm2-135m-instruct": chat}
    config = {"endpoints": endpoints, "defaults": {"chat": "c", "embedding": "e", "rerank": "r"}}
    with aiquery.connect(config=config) as con:
        shown = con.sql(example.sql, dialect="databricks").fetchall()
    assert [str(value) for row in shown for value in row] == [example.shows]


@pytest.mark.local_model
@pytest.mark.parametrize("name", [name for name in registry.functions() if name != "ai_rerank"])
def test_the_examples_of_the_function_pages_run_on_the_local_model(name):
    with aiquery.connect(config={}) as con:
        for example in registry.functions()[name].examples:
            sql = example.sql.replace("fake:any", "local:smollm2-135m-instruct")
            ((value,),) = con.sql(sql, dialect="databricks").fetchall()
            assert value is not None


def test_every_function_is_documented():
    index = (REFERENCE / "functions.md").read_text("utf-8")
    for name, function in registry.functions().items():
        page = (DOCS / "functions" / f"{name}.md").read_text("utf-8")
        assert f"functions/{name}.md" in index
        assert all(f"`{parameter.name}`" in page for parameter in function.parameters)


def test_every_setting_has_a_meaning():
    text = (REFERENCE / "settings.md").read_text("utf-8")
    for setting in Endpoint.__struct_fields__:
        assert re.search(rf"^\| `{setting}` \|[^|]*\| \S", text, re.MULTILINE), setting


def test_every_error_is_documented():
    text = (REFERENCE / "errors.md").read_text("utf-8")
    tree = errors.__doc__ or ""
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.AIQueryError):
            assert f"`{name}`" in text
            assert f" {name} " in tree or f" {name}\n" in tree, name


def commands():
    """Return every command of the command line, as words."""
    import typer

    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        yield [name]
        for inner in getattr(command, "commands", {}):
            yield [name, inner]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_has_help_and_is_in_the_reference(words):
    done = subprocess.run([sys.executable, "-m", "aiquery", *words, "--help"], capture_output=True, check=True)
    assert done.stdout
    text = (REFERENCE / "cli.md").read_text("utf-8")
    assert f"## `aiquery {' '.join(words)}`" in text


@pytest.mark.parametrize("command", ["demo", "sql", "endpoints", "endpoints test", "cache", "config"])
def test_the_readme_names_the_main_commands(command):
    assert f"aiquery {command}" in (ROOT / "README.md").read_text("utf-8")


def test_the_toml_block_of_the_readme_is_a_configuration():
    document = tomllib.loads(blocks(ROOT / "README.md", "toml")[0])
    config = aiquery.config.settings.Config(document, "README.md")
    assert config.endpoint("my-model").max_concurrency == 512


def test_public_names_are_few_and_importing_them_is_light():
    heavy = ("duckdb", "pyarrow", "sqlglot", "aiohttp", "typer")
    code = f"import sys, aiquery; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert len(aiquery.__all__) <= 25
    assert all(getattr(aiquery, name) for name in aiquery.__all__)


def test_the_architecture_names_what_exists():
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    roots = [ROOT, ROOT / "src" / "aiquery", ROOT / "jvm" / "src"]
    roots += [path for root in roots[1:] for path in root.rglob("*") if path.is_dir()]
    named = set(re.findall(r"`([\w/.-]+(?:\.py|\.scala|/))`", text))
    assert len(named) > 50
    for name in sorted(named):
        assert any((root / name).exists() for root in roots), name
