"""The notebook of the cookbook runs from its first cell to its last, and says what it promises."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "docs" / "cookbook" / "notebook.ipynb"


@pytest.fixture
def outputs(tmp_path):
    """Give what each cell of code left, as the text that a reader sees."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": tmp_path}}
    ).execute()
    cells = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    return [
        [output.get("text") or output["data"]["text/plain"] for output in cell]
        for cell in cells
    ]


def test_every_cell_leaves_at_most_one_output(outputs):
    made, table, budget, update, frame = outputs
    assert made == []
    assert "echo: Sentiment: ticket 0" in table[0]
    assert "the budget is reached" in budget[0]
    assert "10,000 rows updated in 1 commits, 0 failed, 0 left; " in update[0]
    assert "echo: the invoice is wrong" in frame[0] or "the invoice" in frame[0]
    assert all(len(cell) == 1 for cell in (table, budget, update, frame))
