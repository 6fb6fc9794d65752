"""What `modersmal improve` came to, as a person reads it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from modersmal.improve.attempt import Measured

Outcome = Literal["nothing", "waiting", "live", "refused"]


@dataclass(frozen=True)
class Improved:
    """How an improvement stands.

    "nothing": there is too little to learn from; "waiting": `release`, which is in `store`, waits
    for approval; "live": it is the latest; "refused": it is not, and will not be. `reason` says why
    of the first and the last. `corrections` is how many were learned from, of which `erased` have
    been erased since.
    """

    state: Outcome
    store: str
    reason: str | None = None
    release: int | None = None
    corrections: int = 0
    erased: int = 0
    measured: Measured | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        if self.state == "nothing":
            return f"There is nothing to improve with yet: {self.reason}."
        lines = [_told(self.corrections, self.measured)] if self.measured else []
        if self.erased:
            lines.append(f"{self.erased:,} of them have been erased since it learned from them.")
        if self.state == "live":
            lines.append(f"Release {self.release} is live.")
        elif self.state == "refused":
            named = f"Release {self.release} is" if self.release else "The release was refused, and"
            lines.append(f"{named} not live: {self.reason}.")
        else:
            lines.append(
                f"Release {self.release} waits for approval. Try it:\n"
                f"  modersmal transcribe AUDIO --model {self.store}#{self.release}\n"
                "Then the same command with --approve lets it be live, or with --refuse REASON not."
            )
        return "\n".join(lines)


def _told(corrections: int, found: Measured) -> str:
    return (
        f"{corrections:,} corrections took {found.metric.upper()} from {100 * found.before:.1f} % "
        f"to {100 * found.after:.1f} % ({100 * found.difference:+.1f} points, 95 %: "
        f"{100 * found.low:+.1f} to {100 * found.high:+.1f}), on {found.clips:,} clips that were "
        "set aside, transcribed from scratch."
    )
