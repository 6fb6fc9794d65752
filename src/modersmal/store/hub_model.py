"""A model in a repository of the Hub: its files at one revision, on this machine."""

from pathlib import Path

from modersmal.errors import HubError, ModelError
from modersmal.offline import is_offline
from modersmal.store.hub import without_bars

_FILES = [
    "config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "normalizer.json", "modersmal.json", "release.json",
    "model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors",
]  # fmt: skip


def is_hub_id(model: str) -> bool:
    """Whether a MODEL that is no folder here can be the name of a repository, USER/NAME."""
    plain = not model.startswith((".", "~", "/")) and "://" not in model and "#" not in model
    return plain and model.count("/") == 1 and not Path(model).exists()


def download_model(
    repo: str, *, revision: str | None = None, offline: bool = False, silent: bool = False
) -> Path:
    """A folder with the files of a revision (None: the newest), named by its commit.

    Only what is not here yet is downloaded; where the Hub cannot be reached, it is the newest that
    was downloaded before. `silent` shows no progress.

    Raises:
        HubError: there is none that we may have, here or there.
        ModelError: nothing on the Hub can have that name.
    """
    from huggingface_hub import errors

    try:
        if silent:
            with without_bars():
                return _snapshot(repo, revision, offline)
        return _snapshot(repo, revision, offline)
    except errors.GatedRepoError as error:
        raise HubError(
            f"{repo} is gated: accept its terms on its Hub page and log in (`hf auth login`)"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"the Hub has no model {repo}, or it is private: check the name or log in "
            "(`hf auth login`)"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{repo} has no revision {revision} on the Hub") from error
    except errors.HFValidationError as error:
        raise ModelError(f"{repo!r} is neither a folder nor a Hub id") from error
    except errors.LocalEntryNotFoundError as error:
        if offline or is_offline():
            raise HubError(
                f"{repo} was not downloaded before, and this is offline; `modersmal fetch` brings "
                "a recipe's models while there is a network"
            ) from error
        raise HubError(
            f"the Hub cannot be reached to download {repo}; check the network and run again, "
            "or give a folder"
        ) from error
    except (errors.HTTPError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise HubError(f"{repo} could not be downloaded from the Hub: {reason}") from error


def _snapshot(repo: str, revision: str | None, offline: bool) -> Path:
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(repo, revision=revision, allow_patterns=_FILES, local_files_only=offline)
    )
