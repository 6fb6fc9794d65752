"""What the recipe says of the places that `modersmal launch` writes files for."""

from typing import Annotated

from pydantic import Field, model_validator

from modersmal.config.section import Section

# What stands in scripts and units as it is: nothing that a shell or systemd would read otherwise.
_PLAIN = r"^[\w./:#@=+-]+$"
_PATH = r"^/[\w./+-]+$"


class SpaceConfig(Section):
    """A Hugging Face Space with the page and the API."""

    model: str | None = Field(
        default=None,
        pattern=r"^[\w.-]+/[\w.-]+$",
        description="Repository on the Hub whose newest revision the Space runs: what `modersmal "
        "publish --repo` was given. Unset: the releases in `store`, where that is on the Hub.",
    )


class DockerConfig(Section):
    """Images, and a compose file with Postgres."""

    model: str | None = Field(
        default=None,
        description="What the server serves: a model on the Hub, a store, or a folder beside the "
        "recipe. Unset: the releases in `store`.",
    )


class OfficeConfig(Section):
    """A server in the house, with https, backups and upgrades."""

    name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$",
        description="What people type to reach it, as the house's name server knows it.",
    )
    model: str | None = Field(
        default=None,
        pattern=_PLAIN,
        description="What it serves: a store, a repository on the Hub, or another MODEL, as it is "
        "called on that machine. Unset: the recipe's `store`, below `folder` where it is relative.",
    )
    certificate: str | None = Field(
        default=None,
        pattern=_PATH,
        description="The house's certificate, a PEM file on that machine. Unset: the proxy makes "
        "a certificate authority of its own, whose root people's machines must be given.",
    )
    certificate_key: str | None = Field(
        default=None, pattern=_PATH, description="The key that belongs to `certificate`."
    )
    folder: str = Field(
        default="/srv/modersmal",
        pattern=_PATH,
        description="Where everything is on that machine; `serve.folder` is below it.",
    )
    account: str = Field(
        default="modersmal",
        pattern=r"^[a-z_][a-z0-9_-]{0,30}$",
        description="The user that the server runs as; made where there is none.",
    )
    port: int = Field(
        default=7860, ge=1, le=65535, description="Where it listens, for the proxy alone."
    )
    backups: str = Field(
        default="/srv/modersmal/backups",
        pattern=_PATH,
        description="Where backups go; better on another disk.",
    )
    keep_backups: int = Field(
        default=14, ge=1, description="How many of the nightly backups are kept."
    )

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> "OfficeConfig":
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("certificate and certificate_key go together")
        return self


class KaggleConfig(Section):
    """A notebook on Kaggle."""

    user: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9-]+$",
        description="Your name on Kaggle, as it stands in your profile's address.",
    )
    datasets: list[Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]] = Field(
        default=[],
        description="Datasets on Kaggle that hold what data.sources names, or an earlier store, as "
        "OWNER/NAME. The folder that is launched becomes one by itself.",
    )


class ModalConfig(Section):
    """An app on Modal."""

    gpu: str = Field(
        default="L4",
        pattern=r"^[A-Za-z0-9:!-]+$",
        description="The GPU that trains, as Modal calls it: T4, L4, A10, L40S, A100, H100, ….",
    )
    model: str | None = Field(
        default=None,
        pattern=r"^[\w.-]+/[\w.-]+$",
        description="A repository on the Hub that the endpoint serves. Unset: the releases in "
        "`store`.",
    )


class LaunchConfig(Section):
    """What `modersmal launch` writes for each target."""

    docker: DockerConfig = Field(
        default=DockerConfig(), description="Images, and a compose file with Postgres."
    )
    kaggle: KaggleConfig = Field(default=KaggleConfig(), description="A notebook on Kaggle.")
    modal: ModalConfig = Field(default=ModalConfig(), description="An app on Modal.")
    space: SpaceConfig = Field(
        default=SpaceConfig(), description="A Hugging Face Space with the page and the API."
    )
    office: OfficeConfig = Field(
        default=OfficeConfig(), description="A server in the house, with https and backups."
    )
