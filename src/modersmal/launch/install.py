"""What pip installs at a target: the wheel beside it, with the versions that are known to work."""

from collections.abc import Collection

from modersmal.launch.target import File
from modersmal.launch.templates import template

CONSTRAINTS, REQUIREMENTS = "constraints.txt", "requirements.txt"


_STORES = {"s3://": "s3", "gs://": "gcs"}


def store_extras(*addresses: str) -> set[str]:
    """The extras that stores at these addresses need."""
    return {
        extra
        for scheme, extra in _STORES.items()
        if any(address.startswith(scheme) for address in addresses)
    }


def install_files(
    wheel: str, extras: Collection[str], brings: Collection[str] = ()
) -> dict[str, File]:
    """requirements.txt and constraints.txt, for `pip install -r requirements.txt` in the folder.

    Packages that the target `brings` are not pinned, so that those that are there stay.
    """
    pins = template(CONSTRAINTS).splitlines()
    kept = [pin for pin in pins if pin.partition("==")[0] not in brings]
    wanted = f"./{wheel}[{','.join(sorted(extras))}]" if extras else f"./{wheel}"
    return {
        CONSTRAINTS: File("\n".join([*kept, ""])),
        REQUIREMENTS: File(f"-c {CONSTRAINTS}\n{wanted}\n"),
    }


def pin(package: str) -> str:
    """The version of a package that is known to work, as in "torch==2.13.0"."""
    pins = template(CONSTRAINTS).splitlines()
    return next(one for one in pins if one.partition("==")[0] == package)
