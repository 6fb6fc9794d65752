"""Kaggle: a notebook with an environment of its own, which goes on from its last output."""

import json
import re
from pathlib import PurePosixPath

from modersmal import __version__
from modersmal.errors import RecipeError
from modersmal.launch.install import install_files, pin
from modersmal.launch.needs import extras_of, room_gb, secrets_of
from modersmal.launch.notebook import notebook
from modersmal.launch.target import File, Order, Target
from modersmal.launch.templates import template

_NOTEBOOK = "train.ipynb"
_LONGEST = 44  # of a slug, to which "-files" is added: Kaggle takes 50
_BRINGS = frozenset({"torch"})  # which its notebook pins where Kaggle's is too old


def files(order: Order) -> dict[str, File]:
    """The notebook, both metadata, and the recipe. Raises RecipeError where it does not fit."""
    kaggle, store = order.recipe.launch.kaggle, str(order.table.get("store", ""))
    if kaggle.user is None:
        raise RecipeError(
            f"{order.path} does not say whose Kaggle account it is: set launch.kaggle.user to the "
            'name in your profile\'s address, as in user = "anna" under [launch.kaggle]'
        )
    if "://" not in store and PurePosixPath(store).is_absolute():
        raise RecipeError(
            f"the store {store} of {order.path} is on this machine, which Kaggle cannot reach; set "
            'it to a folder beside the recipe, as in store = "modersmal-store", or to a URL'
        )
    kernel = f"{kaggle.user}/{_slug(order)}"
    script = template(
        "kaggle/train.cells",
        commands=template("notebook/commands.cells").rstrip(),
        files=f"{kernel}-files",
        wheel=order.wheel,
        version=__version__,
        torch=pin("torch"),
        room=str(room_gb(order.recipe, confirms=True)),
        secrets=json.dumps(secrets_of(order.recipe)),
    )
    about_kernel = {
        "id": kernel,
        "title": _slug(order),
        "code_file": _NOTEBOOK,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": True,
        "machine_shape": "NvidiaTeslaT4",
        "enable_internet": True,
        "dataset_sources": [f"{kernel}-files", *kaggle.datasets],
        "kernel_sources": [kernel],  # its own output: the first run has none yet
        "competition_sources": [],
        "model_sources": [],
    }
    about_files = {
        "id": f"{kernel}-files",
        "title": f"{_slug(order)}-files",
        "licenses": [{"name": "other"}],
    }
    return {
        "recipe.toml": File(order.text),
        _NOTEBOOK: File(notebook(script)),
        "kernel-metadata.json": File(json.dumps(about_kernel, indent=2) + "\n"),
        "dataset-metadata.json": File(json.dumps(about_files, indent=2) + "\n"),
        **install_files(order.wheel, extras_of(order.recipe), _BRINGS),
    }


def _slug(order: Order) -> str:
    """What Kaggle makes of a title, so that id and title are the same."""
    name = re.sub(r"[^a-z0-9]+", "-", f"modersmal {order.recipe.name}".lower())
    return name[:_LONGEST].strip("-")


def next_step(order: Order) -> str:
    kernel = f"{order.recipe.launch.kaggle.user}/{_slug(order)}"
    return (
        "Send the files as a dataset, then run the notebook; the package kaggle does both, with "
        "your key in a file of its own:\n"
        f"  kaggle datasets create -p {order.folder}\n"
        f"  kaggle kernels push -p {order.folder}\n"
        f"See how it goes with `kaggle kernels status {kernel}`. When it has saved and ended, push "
        "again: it goes on from its own output."
    )


TARGET = Target(title="Kaggle", extras=(), files=files, next_step=next_step, brings=_BRINGS)
