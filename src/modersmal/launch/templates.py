"""The files of targets, as they lie in the package, with gaps written `<<name>>`."""

import re
from importlib import resources

_GAP = re.compile(r"<<(\w+)>>")


def template(name: str, /, **values: str) -> str:
    """A file of `assets/launch`, its gaps filled. Raises KeyError where a value is missing."""
    file = resources.files("modersmal") / "assets" / "launch" / name
    return _GAP.sub(lambda gap: values[gap[1]], file.read_text(encoding="utf-8"))
