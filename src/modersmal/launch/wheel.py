"""The wheel of this very version, made from what is installed: no checkout and no registry needed.

The same files give the same bytes, so that a wheel's hash says what is in it.
"""

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from importlib import resources
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from modersmal import __version__
from modersmal.errors import ModersmalError
from modersmal.store import replacing

_NAME = "modersmal"
_WHEEL = "Wheel-Version: 1.0\nGenerator: modersmal\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_BEGINNING = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name
_LICENCES = "licenses"


def wheel_name() -> str:
    return f"{_NAME}-{__version__}-py3-none-any.whl"


def write_wheel(folder: Path) -> Path:
    """Write the wheel into a folder.

    Raises:
        ModersmalError: modersmal is not installed here, or is another version than what runs.
        StoreError: the folder cannot be written.
    """
    installed = _installed()
    inside = f"{_NAME}-{__version__}.dist-info"
    path = folder / wheel_name()
    record = []
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in _contents(installed, inside):
            wheel.writestr(_entry(name), data)
            record.append(f"{name},sha256={_hash(data)},{len(data)}\n")
        listing = f"{inside}/RECORD"
        wheel.writestr(_entry(listing), "".join([*record, f"{listing},,\n"]))
    return path


def _installed() -> Distribution:
    try:
        found = distribution(_NAME)
    except PackageNotFoundError:
        raise ModersmalError(
            "modersmal runs here without being installed, so it cannot be passed on; install it "
            "with pip, and start again"
        ) from None
    if found.version != __version__:
        raise ModersmalError(
            f"modersmal {__version__} runs here, but {found.version} is installed; "
            "install it anew with pip, and start again"
        )
    return found


def _contents(installed: Distribution, inside: str) -> Iterator[tuple[str, bytes]]:
    package = Path(str(resources.files(_NAME)))
    for path in sorted(package.rglob("*")):
        below = path.relative_to(package)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in below.parts)
        if path.is_file() and not hidden:
            yield f"{_NAME}/{below.as_posix()}", path.read_bytes()
    for name in ("METADATA", "entry_points.txt"):
        yield f"{inside}/{name}", (installed.read_text(name) or "").encode()
    yield f"{inside}/WHEEL", _WHEEL.encode()
    for file in sorted(installed.files or []):
        if _LICENCES in file.parts[1:] and file.parts[0].endswith(".dist-info"):
            yield f"{inside}/{'/'.join(file.parts[1:])}", Path(str(file.locate())).read_bytes()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _BEGINNING)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
