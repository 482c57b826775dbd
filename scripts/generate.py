"""Write the references in docs/ and the type stubs from the code: ``make docs``. A test compares them with the code."""

from __future__ import annotations

from pathlib import Path

from reference import (
    command_line,
    databricks_functions,
    errors,
    functions,
    python_api,
    settings,
    stubs,
)

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "aiquery"


def generate() -> dict[Path, str]:
    """Return the text of every generated file by its path."""
    reference = DOCS / "reference"
    files = {
        reference / "functions.md": functions.render_index(),
        reference / "python.md": python_api.render(SOURCE.parent),
        reference / "cli.md": command_line.render(),
        reference / "settings.md": settings.render(),
        reference / "errors.md": errors.render(),
        reference / "databricks-functions.md": databricks_functions.render(ROOT / "tests" / "dialect"),
        SOURCE / "functions" / "__init__.pyi": stubs.render_dataframe_stub(),
        SOURCE / "spark" / "functions.pyi": stubs.render_spark_stub(),
    }
    for name, text in functions.render_pages().items():
        files[DOCS / "functions" / f"{name}.md"] = text
    return files


if __name__ == "__main__":
    for path, text in generate().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    print(f"wrote {len(generate())} files")
