"""What a client may ask of a transcription, checked: OpenAI's fields, and `hotwords`."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from modersmal.errors import nearest
from modersmal.serve.engine.options import MOST_PROMPT_LETTERS, Wish
from modersmal.serve.problems import Problem

ResponseFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]
Granularity = Literal["word", "segment"]

_STREAMED = {"json", "text"}
_OTHERS = {  # of OpenAI's, and why they are refused
    "known_speaker_names": "speakers are not told apart",
    "known_speaker_references": "speakers are not told apart",
}
_ONE_TYPE = {"auto", "server_vad"}


def _without_options(value: Any) -> Any:
    """`auto`, or `{"type": "server_vad"}` as JSON: here pauses are always found."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("it is neither 'auto' nor JSON") from None
    if isinstance(value, dict):
        if set(value) != {"type"}:
            raise ValueError("options of server_vad are not supported; give its type alone")
        value = value["type"]
    if value not in _ONE_TYPE:
        raise ValueError('give \'auto\', or {"type": "server_vad"}')
    return value


_Text = Annotated[str, Field(max_length=MOST_PROMPT_LETTERS)]


class TranscriptionForm(BaseModel):
    """The fields of a request beside its file."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False)

    model: str = Field(
        default="whisper-1",
        max_length=256,
        description="What `GET /v1/models` lists. OpenAI's names stand for it too.",
    )
    language: str | None = Field(
        default=None,
        max_length=32,
        description="The language that is spoken, as BCP 47; without it the release's own, else "
        "detected.",
    )
    languages: list[Annotated[str, Field(max_length=32)]] = Field(
        default=[],
        alias="languages[]",
        max_length=100,
        description="Languages that may be spoken. One of them is taken as `language`; of several, "
        "the release's own has to be one.",
    )
    prompt: _Text = Field(default="", description="The text before the recording.")
    hotwords: _Text = Field(default="", description="Words to expect; not one of OpenAI's fields.")
    keywords: list[_Text] = Field(
        default=[], alias="keywords[]", max_length=200, description="Words to expect."
    )
    response_format: ResponseFormat = Field(default="json", description="What the body is.")
    temperature: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="0: the likeliest text is searched for; above: texts are drawn, the same each "
        "time.",
    )
    timestamp_granularities: list[Granularity] = Field(
        default=[],
        alias="timestamp_granularities[]",
        max_length=8,
        description="Whether verbose_json has `segments`, `words`, or both; without it, segments.",
    )
    include: list[Literal["logprobs"]] = Field(
        default=[],
        alias="include[]",
        max_length=8,
        description="With json: the logarithm of the probability of each word.",
    )
    stream: bool = Field(
        default=False, description="Send server-sent events with the text as it is written."
    )
    chunking_strategy: Annotated[
        Literal["auto", "server_vad"] | None, BeforeValidator(_without_options)
    ] = Field(default=None, description="Pauses are always found; this changes nothing else.")

    @property
    def segments(self) -> bool:
        return "segment" in self.timestamp_granularities or not self.timestamp_granularities

    @property
    def words(self) -> bool:
        return "word" in self.timestamp_granularities

    @property
    def logprobs(self) -> bool:
        return "logprobs" in self.include

    def wish(self, names: list[str], own_language: str | None) -> Wish:
        """What the engine is asked. `names` are the team's, `own_language` is the release's.

        Raises:
            Problem: none of `languages` is written by the release.
            LanguageError, RecipeError: no model can be asked that.
        """
        return Wish(
            language=self._language(own_language),
            prompt=self.prompt,
            hotwords=", ".join(filter(None, [*self.keywords, self.hotwords])),
            names=tuple(names),
            temperature=self.temperature,
            words=self.words or self.logprobs,
        )

    def _language(self, own_language: str | None) -> str | None:
        if self.language or len(self.languages) == 1:
            return self.language or self.languages[0]
        if self.languages and own_language and own_language not in self.languages:
            raise Problem(
                400,
                f"languages: the release writes {own_language}, which is none of them",
                param="languages",
                code="invalid_language",
            )
        return None


def read_form(fields: dict[str, list[str]]) -> TranscriptionForm:
    """Check the fields of a form.

    Raises:
        Problem: 400, names the field that is unknown, unfit, or does not go with another.
    """
    values = {
        name: given if _is_list(name) else given[-1]
        for name, given in _merged(fields).items()
        if _is_list(name) or given[-1] != ""
    }
    for name, reason in _OTHERS.items():
        if name in values or f"{name}[]" in values:
            raise _refused(name, reason)
    try:
        form = TranscriptionForm.model_validate(values)
    except ValidationError as error:
        raise _unfit(error) from None
    _must_go_together(form)
    return form


def _merged(fields: dict[str, list[str]]) -> dict[str, list[str]]:
    """Lists under their own names, and chunking_strategy's parts as one."""
    merged: dict[str, list[str]] = {}
    parts: dict[str, str] = {}
    for name, given in fields.items():
        table, bracket, key = name.partition("[")
        if table == "chunking_strategy" and bracket:
            parts[key.rstrip("]")] = given[-1]
            continue
        alias = f"{name}[]"
        merged.setdefault(alias if alias in _ALIASES else name, []).extend(given)
    if parts:
        merged["chunking_strategy"] = [json.dumps(parts)]
    return merged


_ALIASES = {field.alias for field in TranscriptionForm.model_fields.values() if field.alias}


def _is_list(name: str) -> bool:
    return name in _ALIASES


def _must_go_together(form: TranscriptionForm) -> None:
    kind = form.response_format
    if form.timestamp_granularities and kind != "verbose_json":
        raise _refused("timestamp_granularities", "they need response_format=verbose_json")
    if form.logprobs and kind != "json":
        raise _refused("include", "logprobs need response_format=json")
    if form.stream and kind not in _STREAMED:
        raise _refused("stream", f"{kind} cannot be streamed; leave response_format out")


def _refused(name: str, reason: str) -> Problem:
    return Problem(400, f"{name}: {reason}", param=name, code="unsupported_value")


def _unfit(error: ValidationError) -> Problem:
    first = error.errors()[0]
    name = str(first["loc"][0]).removesuffix("[]")
    if first["type"] == "extra_forbidden":
        known = [field.removesuffix("[]") for field in TranscriptionForm.model_fields]
        return Problem(
            400,
            f"there is no field {name[:64]!r}{nearest(name[:64], known)}",
            param=name[:64],
            code="unknown_parameter",
        )
    message = first["msg"].removeprefix("Value error, ")
    return Problem(400, f"{name}: {message}", param=name, code="invalid_value")
