"""Modal: an app with functions that prepare, train and release, and a web endpoint that serves."""

import json
import re

from modersmal import __version__
from modersmal.errors import RecipeError
from modersmal.launch.install import install_files, pin
from modersmal.launch.needs import extras_of, secrets_of
from modersmal.launch.recipes import serving_recipe
from modersmal.launch.stores import reachable_store
from modersmal.launch.target import File, Order, Target
from modersmal.launch.templates import template

_EXTRAS = {"gpu", "postgres", "release", "serve"}
_SERVE = {"watch_s": 30.0, "proxies": ["*"]}  # nothing but Modal's own proxy reaches it
_DATABASE = "MODERSMAL_DATABASE"


def files(order: Order) -> dict[str, File]:
    """The app, its page, the recipe, and of that what the server needs. Raises RecipeError."""
    store = reachable_store(order, "Modal")
    if store.startswith("gs://"):
        raise RecipeError(
            f"the store {store} of {order.path} takes a login of Google's, which Modal lacks; set "
            'it to a folder of the volume, as in store = "modersmal-store", or to s3:// or hf://'
        )
    modal, secrets = order.recipe.launch.modal, secrets_with_database(order)
    values = {
        "name": app_name(order),
        "gpu": modal.gpu,
        "secrets": " ".join(secrets),
        "make_secret": f"\n{making(secrets)}" if secrets else "",
        "store": _inside_quotes(store),
        "run": order.recipe.name,
        "model": _inside_quotes(modal.model or ""),
        "wheel": order.wheel,
        "torch": pin("torch"),
        "cublas": pin("nvidia-cublas-cu12"),
        "version": __version__,
    }
    serve = _SERVE | dict(order.table.get("serve", {}))
    serve.pop("database", None)  # its address is a secret
    made = {name: File(template(f"modal/{name}", **values)) for name in ("app.py", "README.md")}
    made["recipe.toml"] = File(order.text)
    made["serve.toml"] = File(serving_recipe(order.table, serve))
    return made | install_files(order.wheel, _EXTRAS | extras_of(order.recipe))


def app_name(order: Order) -> str:
    """What app and volume are called; Modal takes few signs, and 63 of them."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", f"modersmal-{order.recipe.name}")[:63]


def secrets_with_database(order: Order) -> list[str]:
    """Names of what the secret must hold."""
    database = [_DATABASE] if "database" in order.table.get("serve", {}) else []
    return [*secrets_of(order.recipe), *database]


def making(secrets: list[str]) -> str:
    """The command that makes the secret."""
    return f"modal secret create modersmal {' '.join(f'{name}=…' for name in secrets)}"


def next_step(order: Order) -> str:
    secrets = secrets_with_database(order)
    name = app_name(order)
    steps = [
        "pip install modal && modal setup",
        *([making(secrets)] if secrets else []),
        f"modal volume create {name} && modal volume put {name} DATA, for each of your data",
        f"cd {order.folder}",
        "modal run --detach app.py --stage prepare, then the stages train and release",
        "modal deploy app.py, for the page and the API",
    ]
    return "\n".join(["Then:", *(f"  {step}" for step in steps)])


def _inside_quotes(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


TARGET = Target(title="Modal", extras=(), files=files, next_step=next_step)
