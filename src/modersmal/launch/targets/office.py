"""A server in the house: systemd runs it, Caddy speaks https for it, scripts do the rest."""

import re
from posixpath import join

from modersmal import __version__
from modersmal.config import Recipe
from modersmal.errors import RecipeError
from modersmal.launch.recipes import serving_recipe
from modersmal.launch.target import File, Order, Target
from modersmal.launch.templates import template

_PLAIN = re.compile(r"[\w./:#@=+-]+")
_TEMPLATES = (
    "modersmal.service", "modersmal-backup.service", "modersmal-backup.timer", "Caddyfile",
    "settings.sh", "install.sh", "rollback.sh", "backup.sh", "restore.sh", "keys.sh", "README.md",
)  # fmt: skip
_SOURCED = {"settings.sh"}  # by the scripts, and no program itself
_SECRETS = (
    "Secrets, where there are any, go into `{folder}/environment`, which only root may read "
    "(`install -D -m 600 /dev/null {folder}/environment`), as `NAME=value`: `PGPASSWORD` of a "
    "database, `HF_TOKEN` of a private model, the keys of a bucket."
)
_OWN_AUTHORITY = (
    "Browsers trust it once their machines have its root certificate, "
    "`/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt`: hand that out as your "
    "house hands out certificates."
)


def files(order: Order) -> dict[str, File]:
    """Units, proxy, scripts and settings. Raises RecipeError."""
    office = order.recipe.launch.office
    if office.name is None:
        raise RecipeError(
            f"{order.path} does not say what the server is called: set launch.office.name to what "
            'people will type, as in name = "speech.example.se" under [launch.office]'
        )
    serve = dict(order.table.get("serve", {}))
    recordings = _plain(join(office.folder, serve.get("folder", "modersmal-serve")), "serve.folder")
    values = {
        "name": office.name,
        "model": model_of(order),
        "certificate": f"{office.certificate} {office.certificate_key}"
        if office.certificate
        else "internal",
        "trust": "" if office.certificate else _OWN_AUTHORITY,
        "folder": office.folder.rstrip("/"),
        "account": office.account,
        "port": str(office.port),
        "recordings": recordings,
        "backups": office.backups.rstrip("/"),
        "keep": str(office.keep_backups),
        "writable": f"{join(office.folder, 'cache')} {recordings} {office.backups.rstrip('/')}",
        "secrets": _SECRETS.format(folder=office.folder),
        "packages": " postgresql-client" if _on_postgres(serve) else "",
        "version": __version__,
    }
    made = {
        name: File(
            template(f"office/{name}", **values),
            executable=name.endswith(".sh") and name not in _SOURCED,
        )
        for name in _TEMPLATES
    }
    settings = serve | {"folder": recordings}
    return made | {"recipe.toml": File(serving_recipe(order.table, settings))}


def model_of(order: Order) -> str:
    """What the server serves, as it is called on its machine. Raises RecipeError."""
    office = order.recipe.launch.office
    if office.model:
        return office.model
    store = str(order.table.get("store", Recipe().store))
    return _plain(store if "://" in store else join(office.folder, store), "store")


def _plain(path: str, key: str) -> str:
    if not _PLAIN.fullmatch(path):
        raise RecipeError(
            f"{key} is {path!r} on the server: units and scripts take letters, digits and "
            "any of . _ / : # @ = + - only"
        )
    return path


def _on_postgres(serve: dict[str, object]) -> bool:
    return str(serve.get("database", "")).startswith("postgresql")


def next_step(order: Order) -> str:
    return (
        f"Copy {order.folder} to the server, read README.md there, and as root: ./install.sh\n"
        f"Then cp Caddyfile /etc/caddy/Caddyfile, systemctl reload caddy, and open "
        f"https://{order.recipe.launch.office.name}"
    )


TARGET = Target(
    title="a server in the house", extras=("serve", "postgres"), files=files, next_step=next_step
)
