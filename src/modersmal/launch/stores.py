"""Whether a place that sees nothing of this machine can reach a recipe's store."""

from pathlib import PurePath

from modersmal.config import Recipe
from modersmal.errors import RecipeError
from modersmal.launch.target import Order

_LOCAL = ("file", "local", "memory")  # what fsspec calls this machine


def reachable_store(order: Order, place: str) -> str:
    """The recipe's store, as `place` can have it: a URL, or a folder beside the recipe.

    Raises RecipeError where it is on this machine.
    """
    store = str(order.table.get("store", Recipe().store))
    scheme, _, rest = store.partition("://")
    path = PurePath(store)
    here = path.is_absolute() or ".." in path.parts or store.startswith("~")
    if scheme in _LOCAL if rest else here:
        raise RecipeError(
            f"the store {store} of {order.path} is on this machine, which {place} cannot reach; "
            'set it to a folder beside the recipe, as in store = "modersmal-store", or to a URL, '
            'as in store = "hf://YOU/NAME"'
        )
    return store
