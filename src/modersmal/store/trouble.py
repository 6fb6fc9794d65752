"""What goes wrong with a remote: whether it may pass, and how to say it without secrets."""

import asyncio
import errno
import json
import re
from collections.abc import Iterator, Mapping

_REMOTE_LIBRARIES = {
    "aiobotocore", "aiohttp", "botocore", "fsspec", "gcsfs", "google", "hf_xet", "httpcore",
    "httpx", "httpx2", "huggingface_hub", "requests", "s3fs", "urllib3",
}  # fmt: skip
# A page of HTML where JSON was to come is what a proxy says in a server's place.
_NETWORK = (OSError, EOFError, TimeoutError, asyncio.TimeoutError, json.JSONDecodeError)
_OURS = (ValueError, TypeError, LookupError, AttributeError)
_LASTING = (
    FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError,
)  # fmt: skip
_LASTING_NUMBERS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENOSYS}
_LASTING_NAMES = {
    "HFValidationError", "NoCredentialsError", "ParamValidationError", "PartialCredentialsError",
    "DefaultCredentialsError", "OfflineModeIsEnabled", "ProfileNotFound", "RefreshError",
    "UnknownEndpointError",
}  # fmt: skip
_LONGEST = 300  # characters of what a server says
_SPENT = re.compile(r"\br\s*=\s*0\s*;\s*t\s*=\s*(\d+)")  # none remain for so many seconds
_PASSING_STATUS = {408, 409, 412, 425, 429}

_SECRETS = [
    (re.compile(r"(\w[\w+.-]*://)[^/\s@]*@"), r"\1***@"),
    (re.compile(r"(\w[\w+.-]*://[^\s?'\"]+)\?[^\s'\"]+"), r"\1?***"),
    (re.compile(r"\b(?:hf_|api_org_)\w{8,}"), "***"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"), "***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+"), r"\1 ***"),
    (
        re.compile(
            r"(?i)([\w-]*(?:secret|token|password|signature|credential)[\w-]*\s*[=:]\s*)\S+"
        ),
        r"\1***",
    ),
]


class Damaged(OSError):
    """What arrived at a remote, or came from it, is not what was sent."""


def passing(error: BaseException) -> bool:
    """Whether to try again: the network, a busy or broken server, bytes lost on the way."""
    chain = list(_causes(error))
    return not any(_lasting(cause) for cause in chain) and any(_remote(cause) for cause in chain)


def asked_to_wait_s(error: BaseException) -> float:
    """The seconds that a server's Retry-After, or the Hub's `RateLimit`, asks for; 0 for none."""
    for cause in _causes(error):
        headers = getattr(getattr(cause, "response", None), "headers", None)
        if isinstance(headers, Mapping):
            if (after := str(headers.get("Retry-After", "")).strip()).isdigit():
                return float(after)
            if limit := _SPENT.search(str(headers.get("RateLimit", ""))):
                return float(limit[1])
    return 0.0


def of_the_remote(error: BaseException) -> bool:
    """Whether a disk, a network or a server is to blame, and not this program."""
    return any(_remote(cause) or _lasting(cause) for cause in _causes(error))


def plain(error: BaseException) -> str:
    """What the disk or the server itself said, in one line, without secrets."""
    chain = list(_causes(error))
    for cause in [*(cause for cause in chain if isinstance(cause, OSError)), *reversed(chain)]:
        text = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
        if text.strip():
            return without_secrets(" ".join(text.split())[:_LONGEST]).rstrip(". ")
    return type(error).__name__


def without_secrets(text: str) -> str:
    """`text` without passwords in URLs, queries of signed URLs, tokens and keys."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__


def _lasting(error: BaseException) -> bool:
    if type(error).__name__ in _LASTING_NAMES or isinstance(error, _LASTING):
        return True
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int) and 400 <= status < 500:
        return status not in _PASSING_STATUS
    return isinstance(error, OSError) and error.errno in _LASTING_NUMBERS


def _remote(error: BaseException) -> bool:
    library = type(error).__module__.partition(".")[0]
    if isinstance(error, _NETWORK):
        return True
    return library in _REMOTE_LIBRARIES and not isinstance(error, _OURS)
