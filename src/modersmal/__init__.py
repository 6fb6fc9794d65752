"""modersmal teaches Whisper a mother tongue on borrowed compute."""

__version__ = "0.1.0"
