"""What the recipe says of serving: the page, the API, and what people's corrections are for."""

from typing import Annotated

from pydantic import Field, model_validator

from modersmal.config.section import Section


class LimitsConfig(Section):
    """What one server takes on, so that nobody can bring it down."""

    max_upload_mib: int = Field(
        default=25,
        ge=1,
        description="MiB that a file sent to the API may have; OpenAI takes 25.",
    )
    max_job_mib: int = Field(
        default=1024, ge=1, description="MiB that a file put into the page may have."
    )
    max_hours: float = Field(
        default=4.0,
        gt=0,
        le=24,
        description="Hours that a recording may last, counted while it is decoded.",
    )
    decode_wall_s: float = Field(
        default=300.0, gt=0, description="Seconds that decoding one file may take."
    )
    queue_minutes: float = Field(
        default=10.0,
        gt=0,
        description="Minutes of speech of the API that may wait; more is answered with 429 and "
        "when to try again.",
    )
    requests_per_minute: int = Field(
        default=600,
        ge=1,
        description="Requests a minute from one key, or from one address where there are no keys.",
    )


class CorrectionsConfig(Section):
    """What people's corrections are collected for. Off until the first three keys are set."""

    purpose: str = Field(
        default="",
        description="What corrections are used for, in a sentence that people are shown.",
    )
    consent: str = Field(
        default="",
        description="What a person agrees to. Changing it makes a new version; what was given "
        "under an older one keeps that one.",
    )
    retention_days: int = Field(
        default=0, ge=0, description="Days after which corrections and their audio are erased."
    )

    @property
    def enabled(self) -> bool:
        """Whether an administrator has said purpose, consent and retention."""
        return bool(self.purpose.strip() and self.consent.strip() and self.retention_days)

    @model_validator(mode="after")
    def _all_or_none(self) -> "CorrectionsConfig":
        said = [bool(self.purpose.strip()), bool(self.consent.strip()), bool(self.retention_days)]
        if any(said) and not all(said):
            raise ValueError(
                "corrections need purpose, consent and retention_days together; set all three, "
                "or none"
            )
        return self


class ServeConfig(Section):
    """The page and the API of `modersmal serve --recipe`."""

    folder: str = Field(
        default="modersmal-serve",
        description="Where the server keeps its recordings and, unless `database` says otherwise, "
        "its database (relative to the recipe).",
    )
    database: str | None = Field(
        default=None,
        description="Address of the database, as in postgresql://USER@HOST/NAME. Without one: "
        "SQLite, in `folder`. `--database` sets it for one start.",
    )
    release: int | None = Field(
        default=None,
        ge=1,
        description="Serve this release of the store and no other. Without it: the latest, also "
        "when that changes.",
    )
    watch_s: float = Field(
        default=10.0, gt=0, description="Seconds between looks at the store for a new release."
    )
    retention_days: float = Field(
        default=7.0,
        gt=0,
        description="Days after which a job of the page is erased: recording, text, edits.",
    )
    names: list[str] = Field(
        default=[],
        description="Names that the team writes, spelt as they should be; the model is told them.",
    )
    proxies: list[str] = Field(
        default=["127.0.0.1", "::1"],
        description="Addresses of proxies in front of the server, whose word is taken for where a "
        "request comes from, and for https. ['*']: any, where nothing else can reach the server.",
    )
    shown_within: list[Annotated[str, Field(pattern=r"^https?://[\w.:*-]+$")]] = Field(
        default=[],
        description="Sites that may show the page in a frame of theirs, as in "
        "'https://intranet.example.se'. Others may not.",
    )
    limits: LimitsConfig = Field(default=LimitsConfig(), description="What one server takes on.")
    corrections: CorrectionsConfig = Field(
        default=CorrectionsConfig(), description="What people's corrections are collected for."
    )
