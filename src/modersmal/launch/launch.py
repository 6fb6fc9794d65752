"""`modersmal launch`: write what a target needs into a folder, and say the next step."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from modersmal import __version__
from modersmal.config import load_recipe
from modersmal.launch.install import install_files, store_extras
from modersmal.launch.secrets import must_hold_no_secret
from modersmal.launch.target import Order, find_target
from modersmal.launch.wheel import wheel_name, write_wheel
from modersmal.launch.written import must_be_free, remove_former, write_files, write_listing


@dataclass(frozen=True)
class Launched:
    """What was written for `target` into `folder`, and what to do with it."""

    target: str
    folder: Path
    files: tuple[str, ...]
    wheel: str
    wheel_bytes: int
    next_step: str

    def __str__(self) -> str:
        return (
            f"Wrote {', '.join(self.files)} and {self.wheel} ({self.wheel_bytes / 1e6:.0f} MB) "
            f"into {self.folder}.\n{self.next_step}"
        )


def launch(target: str, recipe: Path, to: Path) -> Launched:
    """Write what `target` needs to run `recipe` with this very version into the folder `to`.

    What an earlier launch wrote there is replaced; what somebody changed is not touched.

    Raises:
        RecipeError: there is no such target, or the recipe does not fit it, or holds a secret.
        StoreError: a file that others wrote is in the way, or the folder cannot be written.
        ModersmalError: modersmal is not installed here.
    """
    chosen = find_target(target)
    loaded = load_recipe(recipe, several=True)
    text = recipe.read_text(encoding="utf-8-sig")
    must_hold_no_secret(text, str(recipe))
    order = Order(loaded, recipe, text, tomllib.loads(text), wheel_name(), to)
    extras = {*chosen.extras, *store_extras(loaded.store, loaded.launch.office.model or "")}
    files = install_files(order.wheel, extras, chosen.brings) | chosen.files(order)
    names = {*files, order.wheel}
    must_be_free(to, target, names)
    wheel = write_wheel(to)
    remove_former(to, names)
    write_files(to, files)
    write_listing(to, target, __version__, names)
    return Launched(
        target=target,
        folder=to,
        files=tuple(sorted(files)),
        wheel=order.wheel,
        wheel_bytes=wheel.stat().st_size,
        next_step=chosen.next_step(order),
    )
