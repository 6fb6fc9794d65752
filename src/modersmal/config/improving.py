"""What the recipe says of `modersmal improve`: when it begins, from where, and who has the say."""

from typing import Literal

from pydantic import Field

from modersmal.config.section import Section


class ImproveConfig(Section):
    """How people's corrections become the next release; see `modersmal improve`."""

    approval: bool = Field(
        default=True,
        description="Whether a release waits for `modersmal improve --approve` before it is "
        "served. false: it is served at once where it has passed as any release does, and errs no "
        "more on the corrections that were set aside.",
    )
    min_corrections: int = Field(
        default=20,
        ge=1,
        description="Corrections that have to be accepted since the last time before it begins "
        "again. Fewer cost a training for little.",
    )
    min_set_aside: int = Field(
        default=10,
        ge=1,
        description="Corrections that have to be set aside to measure with; a tenth of the "
        "recordings are. The fewer, the wider the interval.",
    )
    start: Literal["release", "base"] = Field(
        default="release",
        description="What training starts from: 'release', the one that is served, which takes "
        "fewer steps; or 'base', the recipe's `model`, which has learned from nobody's "
        "corrections.",
    )
    max_steps: int | None = Field(
        default=None,
        ge=1,
        description="Steps of that training; unset: as train.max_steps. From a release, a tenth "
        "of those is a start.",
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Its highest learning rate; unset: as train.learning_rate. Lower it from a "
        "release, so that it does not forget.",
    )
