"""Google Colab: a notebook that prepares on a CPU, and one that trains on a GPU; kept on Drive."""

import json
from pathlib import PurePosixPath

from modersmal import __version__
from modersmal.errors import RecipeError
from modersmal.launch.install import install_files
from modersmal.launch.needs import extras_of, room_gb, secrets_of
from modersmal.launch.notebook import notebook
from modersmal.launch.target import File, Order, Target
from modersmal.launch.templates import template

_DRIVE = "/content/drive"
# What its image has, in versions that we take too (docs/decisions.md, "Borrowed machines").
_BRINGS = frozenset({
    "torch", "numpy", "pyarrow", "fsspec", "pydantic", "typer", "tensorboard", "matplotlib",
    "soundfile", "soxr", "safetensors", "filelock", "datasets", "peft",
})  # fmt: skip


def files(order: Order) -> dict[str, File]:
    """Both notebooks and the recipe. Raises RecipeError where Colab cannot reach the store."""
    store = str(order.table.get("store", ""))
    if "://" not in store and PurePosixPath(store).is_absolute() and not store.startswith(_DRIVE):
        raise RecipeError(
            f"the store {store} of {order.path} is on this machine, which Colab cannot reach; set "
            'it to a folder beside the recipe, as in store = "modersmal-store", or to a URL'
        )
    begin = template(
        "colab/begin.cells",
        folder=json.dumps(order.folder.absolute().name, ensure_ascii=False),
        commands=template("notebook/commands.cells").rstrip(),
        room=str(room_gb(order.recipe, confirms=False)),
        secrets=json.dumps(secrets_of(order.recipe)),
    ).rstrip()

    def cells(name: str) -> str:
        return template(f"colab/{name}.cells", begin=begin, version=__version__)

    made = {
        "recipe.toml": File(order.text),
        "prepare.ipynb": File(notebook(cells("prepare"), colab={"provenance": []})),
        "train.ipynb": File(
            notebook(cells("train"), colab={"provenance": [], "gpuType": "T4"}, accelerator="GPU")
        ),
    }
    return made | install_files(order.wheel, extras_of(order.recipe), _BRINGS)


def next_step(order: Order) -> str:
    name = order.folder.absolute().name
    sources = ", ".join(order.table.get("data", {}).get("sources", [])) or "your data"
    return (
        f"Put {sources} into {order.folder}, beside recipe.toml, and upload the folder to My Drive "
        f"as {name} (drive.google.com, New > Folder upload).\n"
        "There, open prepare.ipynb with Google Colaboratory, and choose Runtime > Run all; then "
        "train.ipynb, as often as Colab makes you."
    )


TARGET = Target(title="Google Colab", extras=(), files=files, next_step=next_step, brings=_BRINGS)
