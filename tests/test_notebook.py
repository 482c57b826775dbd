"""The notebook of the cookbook runs from its first cell to its last, with the expected outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "docs" / "cookbook" / "notebook.ipynb"


@pytest.fixture
def outputs(tmp_path):
    """The outputs of each code cell, as text."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    resources = {"metadata": {"path": tmp_path}}
    NotebookClient(notebook, timeout=120, resources=resources).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [list(map(read_text, cell.outputs)) for cell in cells]


def read_text(output):
    return output.get("text") or output["data"]["text/plain"]


def test_every_cell_has_at_most_one_output(outputs):
    setup, table, budget, update, frame = outputs
    assert setup == []
    assert "echo: Sentiment: ticket 0" in table[0]
    assert "the budget is reached" in budget[0]
    assert "10,000 rows updated in 1 commits, 0 failed, 0 left; " in update[0]
    assert "echo: the invoice is wrong" in frame[0] or "the invoice" in frame[0]
    assert all(len(cell) == 1 for cell in (table, budget, update, frame))
