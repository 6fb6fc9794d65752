"""A Hugging Face Space: the page and the API over the newest revision of a model on the Hub."""

from modersmal import __version__
from modersmal.errors import RecipeError
from modersmal.language import resolve
from modersmal.launch.recipes import serving_recipe
from modersmal.launch.target import File, Order, Target
from modersmal.launch.templates import template

_HUB = "https://huggingface.co"  # whose page of the Space shows it in a frame
_SERVE = {"watch_s": 60.0, "proxies": ["*"], "shown_within": [_HUB]}


def files(order: Order) -> dict[str, File]:
    """The Space's app, its image, its metadata and its settings. Raises RecipeError."""
    model = model_of(order)
    language = resolve(order.recipe.language, order.recipe.language_token).name
    kind, repository = repository_of(model)
    serve = _SERVE | dict(order.table.get("serve", {}))
    serve.pop("database", None)  # its address is a secret of the Space
    return {
        "app.py": File(template("space/app.py", model=model)),
        "Dockerfile": File(template("space/Dockerfile")),
        "README.md": File(
            template(
                "space/README.md",
                language=language,
                model=model,
                kind=kind,
                repository=repository,
                version=__version__,
            )
        ),
        "recipe.toml": File(serving_recipe(order.table, serve)),
    }


def model_of(order: Order) -> str:
    """What the Space runs: a repository on the Hub, or a store there. Raises RecipeError."""
    if model := order.recipe.launch.space.model:
        return model
    if order.recipe.store.startswith("hf://"):
        return order.recipe.store.rstrip("/")
    raise RecipeError(
        f"{order.path} does not say what the Space runs: set launch.space.model to the repository "
        'that you published to, as in model = "anna/whisper-small-sv" under [launch.space]'
    )


def repository_of(model: str) -> tuple[str, str]:
    """How a Space's metadata names what it uses: the kind of repository, and its name."""
    address = model.removeprefix("hf://")
    kind = "datasets" if address.startswith("datasets/") else "models"
    return kind, "/".join(address.removeprefix("datasets/").split("/")[:2])


def next_step(order: Order) -> str:
    return (
        f"Try it here: cd {order.folder} && pip install -r requirements.txt && python app.py\n"
        "Then make the Space USER/NAME, and send the folder:\n"
        "  hf repos create USER/NAME --type space --space-sdk docker\n"
        f"  hf upload USER/NAME {order.folder} . --type space\n"
        "A private model needs a token that may read it, as the Space's secret HF_TOKEN."
    )


TARGET = Target(
    title="a Hugging Face Space", extras=("serve", "postgres"), files=files, next_step=next_step
)
