"""The errors a user can meet: one sentence each, that says what is wrong, where, and what to do."""

import difflib
from collections.abc import Iterable

EXIT_USER_ERROR = 1
EXIT_STOPPED = 3
EXIT_INTERRUPTED = 130
EXIT_FAULT = 70


class ModersmalError(Exception):
    """Base of every error that is the user's to mend; the command line prints one sentence."""

    exit_code = EXIT_USER_ERROR


class RecipeError(ModersmalError):
    """A recipe, option or setting is wrong."""


class LanguageError(ModersmalError):
    """A language is unknown, or Whisper has no token for it."""


class AudioError(ModersmalError):
    """A file is not audio that we open, or breaks a cap."""


class EmptyAudioError(AudioError):
    """A file of no bytes, or audio of no samples."""


class LongAudioError(AudioError):
    """Audio over the cap on decoded seconds."""


class CorpusError(ModersmalError):
    """A source or a prepared corpus cannot be read."""


class ModelError(ModersmalError):
    """A model is missing, is not Whisper, or does not fit its tokenizer."""


class NotReleased(ModelError):
    """A model that did not pass what a release has to pass."""


class ConversionError(ModelError):
    """A sound model that another runtime cannot take."""


class CheckpointError(ModersmalError):
    """A checkpoint is damaged, or does not belong to this run."""


class TrainingError(ModersmalError):
    """Training cannot start or go on: a broken batch, a loss that is not a number."""


class StoreError(ModersmalError):
    """A disk or a remote cannot be written or read."""


class StoreDamaged(StoreError):
    """A folder is not what its manifest says."""


class StoreMissing(StoreError):
    """A remote has no such file."""


class HubError(ModersmalError):
    """The Hub cannot be reached, or refuses."""


class Busy(ModersmalError):
    """A server has as much waiting as it takes; `retry_after_s` says when to come again."""

    def __init__(self, sentence: str, retry_after_s: int) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class Unavailable(ModersmalError):
    """A server cannot do it now: its model is not loaded, or its process ended midway."""


class Stopped(ModersmalError):
    """Work was stopped with everything saved; the same command goes on."""

    exit_code = EXIT_STOPPED


class Held(Stopped):
    """Another machine holds the run."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the known name closest to `name`, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
