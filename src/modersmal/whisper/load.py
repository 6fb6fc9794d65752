"""Load a Whisper from the Hub, a folder, a run, a release or the package, and see that it fits.

Weights are safetensors only: a pickled file can run code when it is opened.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from modersmal.errors import ModelError, StoreMissing
from modersmal.language import MAX_TOKENS, Language, Vocabulary, resolve, tokenizer
from modersmal.store import MANIFEST
from modersmal.store.hub_model import download_model
from modersmal.store.releases import FOLDER as RELEASES
from modersmal.store.releases import Releases
from modersmal.store.trouble import without_secrets
from modersmal.store.workspace import at_hand
from modersmal.whisper.encoder import accept_variable_context
from modersmal.whisper.generation import complete_generation
from modersmal.whisper.tokens import special_ids

BUNDLED = "bundled"
CARD_FILE = "modersmal.json"
LEARNED_FROM = "learned_from"
CONTEXT_FLOOR_S = 2.0  # of models whose card does not say it
_WEIGHTS = "model.safetensors"
_WEIGHTS_INDEX = "model.safetensors.index.json"
_POSITIONS = 1500


class Described(Protocol):
    """What decoding needs to know of a model beside its weights.

    `context` is "dynamic" where it was trained on less than 30 s at a time, down to
    `context_floor_s` seconds; "full" needs padding. `windows` says that it was trained on full
    windows with timestamps, too.
    """

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def vocabulary(self) -> Vocabulary: ...
    @property
    def mels(self) -> int: ...
    @property
    def context(self) -> str: ...
    @property
    def context_floor_s(self) -> float: ...
    @property
    def windows(self) -> bool: ...


@dataclass(frozen=True)
class Whisper:
    """A Whisper with all that belongs to it; see `Described`.

    `name` is what it was asked for as; `language` the language it was fine-tuned for, if
    modersmal did so, and `base` the name of the model that this started from (its own otherwise).
    """

    model: WhisperForConditionalGeneration
    tokenizer: Tokenizer
    vocabulary: Vocabulary
    mels: int
    name: str
    generation: GenerationConfig
    folder: Path
    language: Language | None = None
    base: str = ""
    context: str = "full"
    context_floor_s: float = CONTEXT_FLOOR_S
    windows: bool = False

    @property
    def device(self) -> torch.device:
        return self.model.device


def load(
    model: str,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    offline: bool = False,
) -> Whisper:
    """Load `model`: a Hub id, a folder, a run's folder, a store, STORE#7, or "bundled".

    The model is in evaluation mode, accepts any context up to 30 s, and uses SDPA attention.

    Raises:
        ModelError: missing, not a Whisper, only pickled weights, or parts that do not fit.
        HubError: the Hub cannot be reached, or refuses.
    """
    folder = locate(model, offline=offline)
    config = _config(folder, model)
    words = _tokenizer(folder, model, Vocabulary.of_size(config.vocab_size))
    card = read_card(folder)
    built = _built(config, folder, model)
    generation = _generation(folder, config)
    complete_generation(generation, config, words)
    built.generation_config = generation
    built.set_attn_implementation("sdpa")
    torch.nn.Module.to(built, device=device, dtype=dtype)
    accept_variable_context(built)
    return Whisper(
        model=built.eval(),
        tokenizer=words,
        vocabulary=Vocabulary.of_size(config.vocab_size),
        mels=config.num_mel_bins,
        name=model,
        generation=generation,
        folder=folder,
        language=card.language,
        base=card.base or model,
        context=card.context,
        context_floor_s=card.context_floor_s,
        windows=card.windows,
    )


@dataclass(frozen=True)
class Description:
    """What a model's files say of it, its weights aside; see `Described`."""

    name: str
    folder: Path
    tokenizer: Tokenizer
    vocabulary: Vocabulary
    mels: int
    context: str
    context_floor_s: float
    windows: bool
    language: Language | None


def describe(model: str, *, offline: bool = False) -> Description:
    """Read and check what `load` would, but for the weights.

    Raises:
        ModelError: missing, not a Whisper, or parts that do not fit.
        HubError: the Hub cannot be reached, or refuses.
    """
    folder = locate(model, offline=offline)
    config, card = _config(folder, model), read_card(folder)
    vocabulary = Vocabulary.of_size(config.vocab_size)
    return Description(
        name=model,
        folder=folder,
        tokenizer=_tokenizer(folder, model, vocabulary),
        vocabulary=vocabulary,
        mels=config.num_mel_bins,
        context=card.context,
        context_floor_s=card.context_floor_s,
        windows=card.windows,
        language=card.language,
    )


def locate(model: str, *, offline: bool = False) -> Path:
    """Find the folder that holds `model`, downloading it where it is a Hub id or a store's URL.

    A store stands for its latest release, and STORE#7 for its release 7.

    Raises:
        ModelError: there is no such folder, the run has no finished model, or the release is
            half-written.
        HubError: the Hub cannot be reached, or refuses.
        StoreError: what is behind the URL cannot be reached, or is damaged.
    """
    store, sign, number = model.rpartition("#")
    if sign and number.isdigit() and not Path(model).expanduser().exists():
        return Releases.open(store).folder(int(number))
    if "://" in model:
        return _from_store(model)
    if model == BUNDLED:
        folder = Path(str(resources.files("modersmal"))) / "assets" / "base"
        if not (folder / "config.json").is_file():
            raise ModelError(f"the bundled base is not in this installation (no {folder})")
        return folder
    path = Path(model).expanduser()
    if path.is_dir():
        for folder in (path, path / "model"):
            if (folder / "config.json").is_file():
                return _whole(folder)
        if (path / RELEASES).is_dir():
            return Releases.open(model).folder()
        if (path / "recipe.json").is_file():
            raise ModelError(f"the run {model} has no finished model yet; train it to the end")
        raise ModelError(f"{model} holds no model: it has no config.json")
    if path.is_file():
        raise ModelError(f"{model} is a file; give the folder that holds the model")
    if model.startswith((".", "~", "/")) or model.count("/") != 1:
        raise ModelError(
            f"there is no model at {model}; give a folder, a Hub id such as openai/whisper-small, "
            f"or {BUNDLED!r}"
        )
    return download_model(model, offline=offline)


@dataclass(frozen=True)
class Card:
    """What `modersmal.json` says of a model that modersmal trained; nothing of a stock Whisper.

    See `Described` for what `context` to `windows` mean; `learned_from` are traces of the
    corrections that it, or its base, has learned from.
    """

    language: Language | None = None
    base: str | None = None
    context: str = "full"
    context_floor_s: float = CONTEXT_FLOOR_S
    windows: bool = False
    learned_from: tuple[str, ...] = ()


def read_card(folder: Path) -> Card:
    """Read a model folder's card, without its weights. Raises ModelError, LanguageError."""
    if not (folder / CARD_FILE).is_file():
        return Card()
    table = _json(folder / CARD_FILE, str(folder))
    language = None
    if "language" in table:
        language = resolve(table["language"], table.get("language_token"))
    floor_s = table.get("context_floor_s", CONTEXT_FLOOR_S)
    if not isinstance(floor_s, int | float) or not 0 < floor_s <= _POSITIONS / 50:
        raise ModelError(
            f"{CARD_FILE} of {folder} says context_floor_s is {floor_s!r}; it is from 0 to 30 s"
        )
    return Card(
        language,
        table.get("base"),
        table.get("context", "full"),
        float(floor_s),
        bool(table.get("windows", False)),
        tuple(table.get(LEARNED_FROM, ())),
    )


def _whole(folder: Path) -> Path:
    if folder.absolute().parent.name == RELEASES and not (folder / MANIFEST).is_file():
        raise ModelError(
            f"{folder} is a half-written release: it has no {MANIFEST}; start the same `modersmal "
            "release` again, or take another release"
        )
    return folder


def _from_store(url: str) -> Path:
    """A copy here of the model at `url`, of the run there, or of the store's latest release."""
    for address in (url, f"{url.rstrip('/')}/model"):
        with suppress(StoreMissing):
            return at_hand(address)
    releases = Releases.open(url)
    if releases.latest() is not None:
        return releases.folder()
    raise ModelError(f"there is no finished model at {without_secrets(url)}, and no release")


def _json(path: Path, model: str) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path.name} of {model} cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise ModelError(f"{path.name} of {model} is not a JSON object")
    return table


def _config(folder: Path, model: str) -> WhisperConfig:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{model} has no config.json, so it is no model")
    table = _json(folder / "config.json", model)
    kind = table.get("model_type")
    if kind != "whisper":
        raise ModelError(f"{model} is not a Whisper model (its model_type is {kind!r})")
    try:
        config = WhisperConfig.from_dict(table)
    except (StrictDataclassError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"config.json of {model} describes no Whisper: {reason}") from error
    vocabulary = Vocabulary.of_size(config.vocab_size)
    ids = special_ids(vocabulary)
    if config.num_mel_bins not in (80, 128):
        raise ModelError(f"{model} takes {config.num_mel_bins} mel bins; Whisper has 80 or 128")
    positions = (config.max_source_positions, config.max_target_positions)
    if positions != (_POSITIONS, MAX_TOKENS):
        raise ModelError(f"{model} has {positions} positions; Whisper has {_POSITIONS, MAX_TOKENS}")
    if (config.decoder_start_token_id, config.eos_token_id) != (ids.start, ids.end):
        raise ModelError(
            f"{model} starts with token {config.decoder_start_token_id} and ends with "
            f"{config.eos_token_id}; its vocabulary says {ids.start} and {ids.end}"
        )
    if (folder / "preprocessor_config.json").is_file():
        mels = _json(folder / "preprocessor_config.json", model).get("feature_size")
        if mels not in (None, config.num_mel_bins):
            raise ModelError(
                f"{model} takes {config.num_mel_bins} mel bins, but its "
                f"preprocessor_config.json makes {mels}"
            )
    # Ours is keyed by (seed, epoch, index); the model's own would draw from the global state.
    config.apply_spec_augment = False
    config.forced_decoder_ids = None
    return config


def _tokenizer(folder: Path, model: str, vocabulary: Vocabulary) -> Tokenizer:
    """The model's own tokenizer, checked; Whisper's, where the model ships without."""
    own = tokenizer(vocabulary)
    if not (folder / "tokenizer.json").is_file():
        if (folder / "vocab.json").is_file():
            table = _json(folder / "vocab.json", model)
            if any(table.get(token) != id_ for token, id_ in own.get_vocab(False).items() if token):
                raise ModelError(
                    f"{model} has a vocab.json that is not Whisper's, and no tokenizer.json"
                )
        return own
    try:
        found = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers raises plain Exception
        raise ModelError(f"tokenizer.json of {model} cannot be read: {error}") from error
    ids = special_ids(vocabulary)
    expected = {
        "<|endoftext|>": ids.end,
        "<|startoftranscript|>": ids.start,
        "<|transcribe|>": ids.transcribe,
        "<|startofprev|>": ids.start_of_previous,
        "<|notimestamps|>": ids.no_timestamps,
        **{f"<|{code}|>": id_ for code, id_ in ids.languages.items()},
    }
    for token, id_ in expected.items():
        if found.token_to_id(token) != id_:
            raise ModelError(
                f"tokenizer.json of {model} gives {token} the id {found.token_to_id(token)}, "
                f"its weights {id_}: they do not belong together"
            )
    found.no_truncation()
    found.no_padding()
    return found


def _built(config: WhisperConfig, folder: Path, model: str) -> WhisperForConditionalGeneration:
    with torch.device("meta"):
        built = WhisperForConditionalGeneration(config)
    shapes = {name: value.shape for name, value in built.state_dict().items()}
    weights = {}
    for name, value in _weights(folder, model).items():
        if name not in shapes:
            continue
        if value.shape != shapes[name]:
            raise ModelError(
                f"{model}: weight {name} is {tuple(value.shape)}, its config.json says "
                f"{tuple(shapes[name])}"
            )
        weights[name] = value
    embeddings = "model.decoder.embed_tokens.weight"
    if config.tie_word_embeddings and embeddings in weights:
        weights["proj_out.weight"] = weights[embeddings]
    if missing := sorted(shapes.keys() - weights.keys()):
        raise ModelError(
            f"the weights of {model} lack {len(missing)} of {len(shapes)} parts, such as "
            f"{missing[0]}"
        )
    built.load_state_dict(weights, assign=True)
    built.tie_weights()
    return built


def _weights(folder: Path, model: str) -> dict[str, torch.Tensor]:
    if (folder / _WEIGHTS).is_file():
        names = {_WEIGHTS}
    elif (folder / _WEIGHTS_INDEX).is_file():
        index = _json(folder / _WEIGHTS_INDEX, model).get("weight_map")
        names = {Path(str(name)).name for name in (index or {}).values()}
    else:
        raise ModelError(
            f"{model} has no safetensors weights; pickled ones (.bin, .pt) can run code when they "
            "are opened, so have it converted to safetensors first"
        )
    weights: dict[str, torch.Tensor] = {}
    for name in sorted(names):
        try:
            weights |= load_file(folder / name)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{name} of {model} cannot be read: {error}") from error
    return weights


def _generation(folder: Path, config: WhisperConfig) -> GenerationConfig:
    if (folder / "generation_config.json").is_file():
        try:
            return GenerationConfig.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise ModelError(f"generation_config.json in {folder} is damaged: {error}") from error
    return GenerationConfig(
        suppress_tokens=getattr(config, "suppress_tokens", None),
        begin_suppress_tokens=getattr(config, "begin_suppress_tokens", None),
    )
