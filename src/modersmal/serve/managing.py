"""`modersmal keys`: make, list and revoke keys, also while a server runs."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, get_args

from modersmal.config import ServeConfig
from modersmal.database import Database
from modersmal.errors import RecipeError, nearest
from modersmal.serve.keys import Key, Keys
from modersmal.serve.serving import database_address

Action = Literal["add", "list", "revoke"]


@dataclass(frozen=True)
class KeysResult:
    """All keys there are now; `secret` is that of a new one, which is shown this once."""

    action: Action
    name: str | None
    keys: list[Key]
    secret: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.action == "add":
            return (
                f"{self.secret}\nThis is the key of {self.name}, shown this once. From now on "
                "nobody comes in without a key."
            )
        if self.action == "revoke":
            return f"The key of {self.name} opens nothing any more."
        if not self.keys:
            return "There are no keys: whoever reaches the server can use it."
        return "\n".join(_line(key) for key in self.keys)


def manage_keys(
    action: str,
    name: str | None = None,
    *,
    reviewer: bool = False,
    database: str | None = None,
    settings: ServeConfig | None = None,
) -> KeysResult:
    """Do `action` with the keys of a server's database.

    Raises:
        RecipeError: there is no such action, or it does not go with the name.
        StoreError: the database cannot be opened, or is not there where no key is added.
    """
    chosen = _action(action)
    if (name is None) != (chosen == "list"):
        raise RecipeError("`keys list` takes no name" if name else f"`keys {chosen}` needs a NAME")
    if reviewer and chosen != "add":
        raise RecipeError("--reviewer goes with `keys add`")
    address = database_address(settings or ServeConfig(), database)
    opened = Database.open(address, existing=chosen != "add")
    try:
        keys = Keys(opened)
        secret = None
        if chosen == "add":
            secret = keys.add(str(name), "reviewer" if reviewer else "user")
        elif chosen == "revoke":
            keys.revoke(str(name))
        return KeysResult(chosen, name, keys.list(), secret)
    finally:
        opened.close()


def _action(name: str) -> Action:
    known: tuple[Action, ...] = get_args(Action)
    for action in known:
        if action == name:
            return action
    raise RecipeError(
        f"there is no action {name!r}{nearest(name, known)}; there are {', '.join(known)}"
    )


def _line(key: Key) -> str:
    state = f"revoked {_day(key.revoked_s)}" if key.revoked_s else f"used {_day(key.used_s)}"
    return f"{key.name:20} {key.role:9} made {_day(key.created_s)}  {state}"


def _day(moment_s: float | None) -> str:
    if moment_s is None:
        return "never"
    return datetime.fromtimestamp(moment_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
