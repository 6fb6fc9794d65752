"""What a recipe needs where it is trained: extras of modersmal's, secrets by name, and room."""

from modersmal.config import LoraConfig, Recipe
from modersmal.launch.install import store_extras
from modersmal.whisper.shape import Shape, shape_named

_LEARNED_BYTES, _SAVED_BYTES = 12, 4  # a number, its two moments; a number
_CHECKPOINTS_BESIDE = 2  # the newest: the best, and one that is being written
_UNCONFIRMED = 2  # more of them in a store that cannot say what has arrived


def extras_of(recipe: Recipe) -> set[str]:
    """Extras for the recipe's store, its sources and its training."""
    wanted = {
        "hf": _has_source(recipe, "hf:"),
        "mdc": _has_source(recipe, "mdc:"),
        "lora": recipe.train.lora.rank is not None,
    }
    extras = {extra for extra, is_wanted in wanted.items() if is_wanted}
    return extras | store_extras(recipe.store)


def secrets_of(recipe: Recipe) -> tuple[str, ...]:
    """Environment variables without which its store, or a source, lets nobody in."""
    names = []
    if recipe.store.startswith("s3://"):
        names += ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    if recipe.store.startswith("hf://"):
        names += ["HF_TOKEN"]
    if _has_source(recipe, "mdc:"):
        names += ["MDC_API_KEY"]
    return tuple(names)


def room_gb(recipe: Recipe, *, confirms: bool) -> float:
    """GB that checkpoints and model take at most in a store that confirms, or not, as a mounted
    Drive; 0 where the size of the model cannot be told by its name."""
    shape = shape_named(recipe.model)
    if shape is None:
        return 0.0
    lora = recipe.train.lora
    learned = shape.parameters if lora.rank is None else _lora_parameters(shape, lora, lora.rank)
    count = recipe.train.keep + _CHECKPOINTS_BESIDE + (0 if confirms else _UNCONFIRMED)
    size = count * _LEARNED_BYTES * learned + _SAVED_BYTES * shape.parameters
    return round(size / 1e9, 1)


def _lora_parameters(shape: Shape, lora: LoraConfig, rank: int) -> int:
    """Two matrices for each that they stand beside, in every layer."""
    targets = set(lora.targets)
    attention = len(targets - {"fc1", "fc2"}) * 2 * rank * shape.width
    inner = len(targets & {"fc1", "fc2"}) * rank
    encoder = attention + inner * (shape.width + shape.encoder_inner)
    decoder = 2 * attention + inner * (shape.width + shape.decoder_inner)
    return shape.encoder_layers * encoder + shape.decoder_layers * decoder


def _has_source(recipe: Recipe, scheme: str) -> bool:
    return any(source.startswith(scheme) for source in recipe.data.sources)
