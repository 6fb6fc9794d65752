"""How one recording is to be transcribed, and what that comes to for one batch of parts."""

from dataclasses import dataclass

from modersmal.errors import RecipeError
from modersmal.language import resolve

MOST_PROMPT_LETTERS = 4_000  # far over what a model can be told before its 448 tokens
MOST_BEAMS = 10


@dataclass(frozen=True)
class Wish:
    """What whoever sent a recording wants.

    Without `language` it is the release's own, or, with a stock Whisper, detected. `prompt` is the
    text before the recording; `hotwords` and `names` are told before each part. At `temperature` 0
    the likeliest text of `beams` is searched for, above it texts are drawn, the same each time.
    """

    language: str | None = None
    prompt: str = ""
    hotwords: str = ""
    names: tuple[str, ...] = ()
    temperature: float = 0.0
    words: bool = False
    beams: int = 5

    def __post_init__(self) -> None:
        """Raises LanguageError, RecipeError for what no model can be asked."""
        if self.language is not None:
            resolve(self.language)
        if not 0.0 <= self.temperature <= 1.0:
            raise RecipeError(f"temperature {self.temperature:g} does not lie between 0 and 1")
        if not 1 <= self.beams <= MOST_BEAMS:
            raise RecipeError(f"{self.beams} beams are not between 1 and {MOST_BEAMS}")
        told = len(self.prompt) + len(self.hotwords) + sum(map(len, self.names))
        if told > MOST_PROMPT_LETTERS:
            raise RecipeError(
                f"prompt, hotwords and names have {told:,} letters together; the most is "
                f"{MOST_PROMPT_LETTERS:,}"
            )

    @property
    def told(self) -> str:
        """What the model is told before each part."""
        return ", ".join(filter(None, [*self.names, self.hotwords.strip()]))


@dataclass(frozen=True)
class Task:
    """What is the same for all parts of one batch.

    `frames` is the context, in log-mel frames. `language` is Whisper's token, None: found out.
    """

    frames: int
    timestamps: bool
    language: str | None
    prompt: str
    told: str
    temperature: float
    beams: int
    words: bool
