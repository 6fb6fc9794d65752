"""Licences of sources: their names, where they can be read, and whether clips may be passed on."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Licence:
    """What a source's clips come under.

    `name` is an SPDX identifier where there is one; `redistributable` says whether clips may be
    passed on, and is None where that is not known.
    """

    name: str | None = None
    url: str | None = None
    redistributable: bool | None = None


UNKNOWN = Licence()

_SPDX = "https://spdx.org/licenses/{}.html"
_CREATIVE_COMMONS = re.compile(r"(cc-by(?:-nc)?(?:-sa|-nd)?)-(\d\.\d)(?:-[a-z]+)?")
_OPEN = {
    name.lower(): name
    for name in (
        "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CDLA-Permissive-1.0", "CDLA-Permissive-2.0",
        "CDLA-Sharing-1.0", "EUPL-1.2", "GFDL-1.3", "MIT", "MPL-2.0", "NLOD-2.0", "ODbL-1.0",
        "PDDL-1.0", "Unlicense",
    )
}  # fmt: skip
_OPEN |= {"odc-by": "ODC-By-1.0", "odc-by-1.0": "ODC-By-1.0", "odbl": "ODbL-1.0"}
_OPEN |= {"pddl": "PDDL-1.0"}
_SILENT = {"", "other", "unknown", "none", "n/a"}


def licence(
    name: str | None, url: str | None = None, redistributable: bool | None = None
) -> Licence:
    """Fill in what is known of the licence of that name, in any case; what is given stands.

    A licence without derivatives (ND) leaves it open whether clips may be passed on: cutting and
    encoding them anew may be one.
    """
    written = (name or "").strip()
    known = _known(written.lower())
    if known is None:
        return Licence(None if written.lower() in _SILENT else written, url, redistributable)
    passing = known.redistributable if redistributable is None else redistributable
    return Licence(known.name, url or known.url, passing)


def _known(name: str) -> Licence | None:
    if name in ("cc0", "cc0-1.0"):
        return Licence("CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/", True)
    if match := _CREATIVE_COMMONS.fullmatch(name):
        kind, version = match.groups()
        url = f"https://creativecommons.org/licenses/{kind.removeprefix('cc-')}/{version}/"
        return Licence(name.upper(), url, None if kind.endswith("-nd") else True)
    if name in _OPEN:
        return Licence(_OPEN[name], _SPDX.format(_OPEN[name]), True)
    return None
