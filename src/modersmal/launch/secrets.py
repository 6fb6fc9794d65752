"""Nothing secret is written: a recipe that holds something secret is refused before anything is."""

import re

from modersmal.errors import RecipeError

_SECRETS = [
    re.compile(r"\w://[^/\s@:'\"]*:[^/\s@'\"]+@"),  # a password in an address
    re.compile(r"\b(?:hf_|api_org_)\w{8,}"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"),
    re.compile(r"\bms[kp]-[\w-]{20,}"),  # keys of our own servers
    re.compile(
        r"(?i)(?:secret|token|password|passwd|signature|credential|api_?key)\w*\s*[=:]\s*\S"
    ),
]
_NO_SECRET = re.compile(r"\blanguage_token\b")


def must_hold_no_secret(text: str, where: str) -> None:
    """Raises RecipeError, which names the line and not what it says."""
    for number, line in enumerate(text.splitlines(), 1):
        if any(secret.search(_NO_SECRET.sub("", line)) for secret in _SECRETS):
            raise RecipeError(
                f"line {number} of {where} looks like it holds a secret, and would be copied to "
                "where others may read it; take it out, comments too, and give it to the machine "
                "by name, as an environment variable"
            )
