"""Docker: images for CPUs and Nvidia's GPUs, and a compose file with Postgres for the server."""

import json

from modersmal import __version__
from modersmal.launch.install import install_files, pin
from modersmal.launch.needs import extras_of, secrets_of
from modersmal.launch.stores import reachable_store
from modersmal.launch.target import File, Order, Target
from modersmal.launch.templates import template

_TEMPLATES = ("README.md", "compose.cuda.yaml", "compose.yaml", "cpu.Dockerfile", "cuda.Dockerfile")
_EXTRAS = {"gpu", "postgres", "release", "serve"}
_MISSING = "is needed by the recipe; write it into .env"


def files(order: Order) -> dict[str, File]:
    """Images, compose files, and the folder that containers see. Raises RecipeError."""
    store = reachable_store(order, "a container")
    secrets = secrets_of(order.recipe)
    values = {
        "model": _quoted(order.recipe.launch.docker.model or store),
        "store": store,
        "run": order.recipe.name,
        "secrets": "".join(f"\n  {name}: ${{{name}:?{_MISSING}}}" for name in secrets) or " {}",
        "secret_names": "".join(f"\n{name}=…" for name in secrets),
        "torch": pin("torch"),
        "cublas": pin("nvidia-cublas-cu12"),
        "version": __version__,
    }
    made = {name: File(template(f"docker/{name}", **values)) for name in _TEMPLATES}
    made[".dockerignore"] = File(template("docker/dockerignore"))
    made["data/recipe.toml"] = File(order.text)
    return made | install_files(order.wheel, _EXTRAS | extras_of(order.recipe))


def _quoted(text: str) -> str:
    """As YAML has it in quotes, and compose, for which a dollar begins a variable."""
    return json.dumps(text, ensure_ascii=False).replace("$", "$$")


def next_step(order: Order) -> str:
    return (
        f"Once, in {order.folder}, a password for the database, and who owns what is written:\n"
        "  printf 'POSTGRES_PASSWORD=%s\\nUSER_ID=%s\\n' \"$(openssl rand -hex 24)\" "
        '"$(id -u):$(id -g)" > .env && chmod 600 .env\n'
        "Then docker compose run --rm train, with the data in data/, and docker compose up "
        "--detach server; README.md says the rest."
    )


TARGET = Target(title="Docker", extras=(), files=files, next_step=next_step)
