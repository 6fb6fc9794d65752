"""What every table of the recipe is made from."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of the recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)
