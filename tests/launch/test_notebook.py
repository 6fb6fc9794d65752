"""Scripts become notebooks."""

import json

import nbformat

from modersmal.launch.notebook import notebook

SCRIPT = """# %% [markdown]
# # Title
#
# Text with `# %%` in it.

# %%
# What it does.
if True:
    print("å %%")

# %%
x = 1
"""


def test_cells_are_what_lies_between_the_marks() -> None:
    made = nbformat.reads(notebook(SCRIPT, accelerator="GPU"), as_version=4)
    nbformat.validate(made)
    assert [cell.cell_type for cell in made.cells] == ["markdown", "code", "code"]
    assert made.cells[0].source == "# Title\n\nText with `# %%` in it."
    assert made.cells[1].source == '# What it does.\nif True:\n    print("å %%")'
    assert made.metadata["accelerator"] == "GPU"


def test_the_same_script_gives_the_same_file_with_readable_letters() -> None:
    assert notebook(SCRIPT) == notebook(SCRIPT)
    assert "å" in notebook(SCRIPT)
    assert len({cell["id"] for cell in json.loads(notebook(SCRIPT))["cells"]}) == 3
