"""What this machine can do, what is missing, and the command that mends it.

A check is one small function that returns a `Check`. A check that breaks is a failed check: the
doctor always finishes.
"""

import json
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np

from modersmal.audio import SAMPLE_RATE, decode, encode_flac, encode_opus
from modersmal.errors import StoreError
from modersmal.store.remote import Remote
from modersmal.store.retry import Backoff
from modersmal.store.workspace import Workspace

State = Literal["ok", "warn", "fail"]
GIB = 1024**3
HUB_TIMEOUT_S = 5.0
STORE_TIMEOUT_S = 20.0
DISK_GIB = 20  # Common Voice Swedish, its corpus, whisper-small and its checkpoints, with room

PACKAGES = (
    "torch", "transformers", "tokenizers", "ctranslate2", "faster-whisper", "huggingface_hub",
    "pyarrow", "numpy", "soundfile", "soxr", "av", "jiwer", "typer",
)  # fmt: skip

# GiB of device memory that full fine-tuning takes at batches of 8 clips. The first four were
# measured with AdamW in mixed precision; the others are 16 bytes a parameter and the activations.
TRAINING_GIB = {
    "tiny": 2, "base": 3, "small": 5, "medium": 15, "large-v3-turbo": 18, "large-v3": 32,
}  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One finding; `remedy` is what to run or do, where there is something."""

    name: str
    state: State
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All findings, in the order in which they were made."""

    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing failed; warnings may remain."""
        return all(check.state != "fail" for check in self.checks)

    def __str__(self) -> str:
        width = max(len(check.name) for check in self.checks)
        lines = []
        for check in self.checks:
            lines.append(f"{check.state:4}  {check.name:{width}}  {check.detail}")
            if check.remedy:
                lines.append(f"{'':4}  {'':{width}}  → {check.remedy}")
        return "\n".join(lines)


def doctor(store: Path | str = ".") -> Diagnosis:
    """Check Python, packages, devices, engines, memory, `store` and its disk, audio and the Hub.

    Raises:
        StoreError: nobody knows such a store, or a package for it is missing.
    """
    return Diagnosis(tuple(_findings(Workspace.open(str(store)))))


def _findings(workspace: Workspace) -> Iterator[Check]:
    yield _guarded("python", python)
    yield _guarded("packages", packages)
    yield _guarded("audio", audio)
    yield _guarded("memory", memory)
    yield _guarded("disk", disk, workspace.local)
    if workspace.remote:
        yield _guarded("store", far_store, workspace.remote)
    yield _guarded("gpu", gpu)
    for device in _devices():
        yield _guarded(f"torch on {device}", torch_computes, device)
        yield _guarded(f"sizes on {device}", sizes, device)
    with tempfile.TemporaryDirectory() as folder:
        for device in _devices():
            yield _guarded(f"transformers on {device}", transformers_decodes, device)
            if device != "mps":
                yield _guarded(
                    f"ctranslate2 on {device}", ctranslate2_decodes, device, Path(folder)
                )
    yield _guarded("hub", hub)


def _guarded(name: str, check: Callable[..., Check], *arguments: object) -> Check:
    """Whatever a broken installation throws is a finding, not the end of the examination."""
    try:
        return check(*arguments)
    except Exception as error:
        reason = " ".join(str(error).split()) or "no reason given"
        return Check(name, "fail", f"{type(error).__name__}: {reason}"[:300], _reinstall())


def _reinstall() -> str:
    return f"{Path(sys.executable).name} -m pip install --upgrade modersmal"


def python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok", f"{version} on {sys.platform} ({os.cpu_count()} cores)")


def packages() -> Check:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", "fail", f"missing: {', '.join(missing)}", _reinstall())
    return Check("packages", "ok", ", ".join(found))


def audio() -> Check:
    """Encode and decode a second, through libsndfile and soxr."""
    second = _second()
    exact = np.abs(decode(encode_flac(second)).samples - second).max()
    if exact > 1e-3 or abs(decode(encode_opus(second)).duration_s - 1) > 0.1:
        return Check("audio", "fail", "a decoded second is not the one encoded", _reinstall())
    return Check("audio", "ok", "FLAC and Opus survive encoding and decoding")


def memory() -> Check:
    total, free = _memory_bytes()
    detail = f"{free / GIB:.1f} GiB free of {total / GIB:.1f} GiB"
    if free < 2 * GIB:
        return Check("memory", "warn", detail, "close other programs; training needs 2 GiB free")
    return Check("memory", "ok", detail)


def disk(store: Path) -> Check:
    """Free space where the store is, or would be made."""
    folder = store.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / GIB
    detail = f"{free:.0f} GiB free in {folder}"
    if not os.access(folder, os.W_OK):
        return Check("disk", "fail", f"{folder} cannot be written", "choose another `store`")
    if free < DISK_GIB:
        advice = f"free some, or set `store` to a disk with {DISK_GIB} GiB"
        return Check("disk", "warn", detail, advice)
    return Check("disk", "ok", detail)


def far_store(remote: Remote) -> Check:
    """Whether a store on another machine can be written and read, and what it answers for."""
    name, words = "words", b"modersmal was here"
    corner = remote.at(f"doctor-{uuid.uuid4().hex}", backoff=Backoff(within_s=STORE_TIMEOUT_S))
    try:
        corner.write(name, words)
        sound = corner.read(name) == words
        corner.delete(name)
    except StoreError as error:
        return Check("store", "fail", str(error), "choose another `store`, or mend the access")
    if not sound:
        return Check("store", "fail", f"{remote.url} returns other bytes than were written")
    uploads = "confirmed" if remote.confirms else "handed over, not confirmed"
    alone = "for sure" if remote.exclusive else "as far as it can tell"
    detail = f"{remote.url}: uploads are {uploads}; it lets one machine train a run, {alone}"
    return Check("store", "ok", detail)


def gpu() -> Check:
    """Whether torch sees the GPUs that the machine has."""
    import torch

    if torch.cuda.is_available():
        cards = ", ".join(_card(index) for index in range(torch.cuda.device_count()))
        return Check("gpu", "ok", cards)
    if torch.backends.mps.is_available():
        return Check("gpu", "ok", "Apple GPU (mps)")
    if Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi"):
        build = f"torch {torch.__version__} (CUDA {torch.version.cuda or 'not built in'})"
        return Check(
            "gpu", "fail", f"there is an NVIDIA driver, but {build} cannot use it",
            "run nvidia-smi; where it shows a GPU, install the torch build for its driver as "
            "https://pytorch.org/get-started says",
        )  # fmt: skip
    return Check(
        "gpu", "warn", "none: the demo and small models train on the CPU, whisper-small does not",
        "use a machine with a GPU, for example a free Colab notebook",
    )  # fmt: skip


def _card(index: int) -> str:
    import torch

    card = torch.cuda.get_device_properties(index)
    # bfloat16 is emulated, slowly, before compute capability 8.0.
    precision = "bfloat16" if card.major >= 8 else "float16"
    return (
        f"{card.name}, {card.total_memory / GIB:.0f} GiB, compute capability "
        f"{card.major}.{card.minor}, trains in {precision}"
    )


def torch_computes(device: str) -> Check:
    """Multiply matrices on `device` and compare with NumPy."""
    import torch

    generator = np.random.default_rng(0)
    left, right = generator.normal(size=(2, 64, 64)).astype(np.float32)
    product = (torch.from_numpy(left).to(device) @ torch.from_numpy(right).to(device)).cpu().numpy()
    error = float(np.abs(product - left @ right).max())
    name = f"torch on {device}"
    if error > 0.1:
        return Check(name, "fail", f"multiplies wrongly (off by {error:.2g})", "reinstall torch")
    return Check(name, "ok", "multiplies matrices")


def sizes(device: str) -> Check:
    """Which Whispers fit for full fine-tuning, by free memory; see TRAINING_GIB."""
    free = _free_bytes(device) / GIB
    fit = [size for size, gib in TRAINING_GIB.items() if gib <= free]
    none = ", ".join(size for size in TRAINING_GIB if size not in fit)
    detail = f"{', '.join(fit) or 'none'} (in {free:.0f} GiB free, batches of 8 clips)"
    if none:
        detail += f"; too large: {none}"
    if device == "cpu":
        return Check("sizes on cpu", "ok" if fit else "warn", f"{detail}; slow without a GPU")
    if fit:
        return Check(f"sizes on {device}", "ok", detail)
    return Check(f"sizes on {device}", "warn", detail, "free the GPU's memory, or use a larger one")


def transformers_decodes(device: str) -> Check:
    """Decode one second with the bundled base through transformers."""
    from modersmal.whisper.decode import decode as decode_clips
    from modersmal.whisper.decode_torch import TransformersDecoder
    from modersmal.whisper.load import BUNDLED, load

    decoder = TransformersDecoder(load(BUNDLED, device=device))
    decode_clips(decoder, [_second()], language_token="sv")
    return Check(f"transformers on {device}", "ok", "decodes one second")


def ctranslate2_decodes(device: str, folder: Path) -> Check:
    """Decode one second with the bundled base, converted into `folder`, through CTranslate2."""
    import ctranslate2

    from modersmal.language import Vocabulary
    from modersmal.whisper.tokens import prompt_ids

    name, kind = f"ctranslate2 on {device}", device.partition(":")[0]
    converted = str(_converted(folder))
    try:
        model = ctranslate2.models.Whisper(
            converted, device=kind, device_index=_index(device), compute_type="float32"
        )
        features = ctranslate2.StorageView.from_array(_features())
        model.generate(features, [prompt_ids(Vocabulary.MULTILINGUAL, "sv")], max_length=8)
    except (RuntimeError, ValueError) as error:
        if kind != "cuda":
            raise
        return Check(
            name, "warn", f"cannot use the GPU ({error}), so the CPU transcribes",
            "CTranslate2 needs CUDA 12's cuBLAS: pip install nvidia-cublas-cu12, and put its lib "
            "folder on LD_LIBRARY_PATH",
        )  # fmt: skip
    types = ", ".join(sorted(ctranslate2.get_supported_compute_types(kind, _index(device))))
    return Check(name, "ok", f"decodes one second; computes in {types}")


def hub() -> Check:
    """Who the Hub says we are. The token is sent to the Hub and shown nowhere."""
    from huggingface_hub import constants, get_token

    token = get_token()
    request = urllib.request.Request(f"{constants.ENDPOINT}/api/whoami-v2")
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    login = "hf auth login"
    try:
        with urllib.request.urlopen(request, timeout=HUB_TIMEOUT_S) as answer:
            return Check("hub", "ok", f"logged in as {json.load(answer)['name']}")
    except urllib.error.HTTPError as error:
        if error.code in (401, 403) and not token:
            return Check("hub", "ok", "reached; not logged in (only private models need it)")
        if error.code in (401, 403):
            return Check("hub", "warn", "reached; it refuses the login saved here", login)
        return Check("hub", "warn", f"it answers {error.code}", "try again later")
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        return Check(
            "hub", "warn", f"cannot be reached ({reason}); models in folders and the demo work",
            "check the network, or HF_ENDPOINT and the proxy settings",
        )  # fmt: skip


def _devices() -> list[str]:
    """Every device that torch can use; only the CPU where torch itself is broken."""
    try:
        import torch

        cards = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        return [*cards, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
    except Exception:  # `gpu` has reported it
        return ["cpu"]


def _index(device: str) -> int:
    return int(device.partition(":")[2] or 0)


def _free_bytes(device: str) -> int:
    import torch

    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(_index(device))[0]
    return _memory_bytes()[1]


def _memory_bytes() -> tuple[int, int]:
    """Main memory: all of it, and what is free for us."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return total, total
    kib = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    free = kib["MemAvailable"] * 1024
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and (cap := limit.read_text().strip()) != "max":  # a container's
        total, free = min(total, int(cap)), min(free, int(cap) - int(used.read_text()))
    return total, free


def _second() -> np.ndarray:
    """One second of a tone, (16000,) float32."""
    return (0.3 * np.sin(np.arange(SAMPLE_RATE) * 0.2)).astype(np.float32)


def _features() -> np.ndarray:
    """The tone's log-mel, padded to 30 s: (1, 80, 3000) float32."""
    from modersmal.logmel import WINDOW_FRAMES, clip_features

    return clip_features([_second()], 80, WINDOW_FRAMES, "cpu").numpy()


def _converted(folder: Path) -> Path:
    from modersmal.whisper.convert import to_ctranslate2
    from modersmal.whisper.load import BUNDLED

    target = folder / "bundled-ctranslate2"
    return target if target.exists() else to_ctranslate2(BUNDLED, target, "float32")
