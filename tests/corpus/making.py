"""Make audio and sources for the tests: speech-like noise, releases, manifests."""

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 16_000
HEADER = (
    "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\t"
    "accents\tvariant\tlocale\tsegment"
)


def speech(seed: int, duration_s: float = 2.0, level: float = 0.1, rate_hz: int = RATE_HZ):
    """Noise with the slope of a voice, swelling four times a second like syllables."""
    draw = np.random.default_rng(seed)
    count = round(duration_s * rate_hz)
    noise = np.convolve(draw.normal(size=count + 31), np.hanning(32), "valid")
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * np.arange(count) / rate_hz + seed)
    voice = noise * swell
    return (level * voice / max(1e-9, np.abs(voice).max(initial=0))).astype(np.float32)


def encoded(samples, rate_hz: int = RATE_HZ, kind: str = "wav") -> bytes:
    out = io.BytesIO()
    formats = {"wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "mp3": ("MP3", None)}
    name, subtype = formats[kind]
    soundfile.write(out, samples, rate_hz, format=name, subtype=subtype)
    return out.getvalue()


def clip(seed: int, duration_s: float = 2.0, **rest) -> bytes:
    """A short distinct clip, as WAV."""
    return encoded(speech(seed, duration_s, **rest))


def write_clips(folder: Path, clips: dict[str, bytes]) -> None:
    for name, data in clips.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def tsv_row(
    path: str, sentence: str, speaker: str = "anna", age: str = "", accent: str = ""
) -> str:
    return "\t".join(
        [speaker, path, "0" * 8, sentence, "", "2", "0", age, "", accent, "", "sv-SE", ""]
    )


def write_release(folder: Path, splits: dict[str, list[str]], clips: dict[str, bytes]) -> Path:
    """A Common Voice language folder; `splits` maps a table's name to its lines."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    write_clips(folder / "clips", clips)
    for name, lines in splits.items():
        (folder / f"{name}.tsv").write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return folder


def simple_release(
    folder: Path, train: int = 12, dev: int = 4, test: int = 4, duration_s: float = 0.6
) -> Path:
    """A sound release: every clip, speaker and sentence distinct between splits."""
    splits, clips, seed = {}, {}, 0
    for name, count in (("train", train), ("dev", dev), ("test", test)):
        lines = []
        for number in range(count):
            seed += 1
            path = f"common_voice_sv-SE_{seed:08d}.wav"
            clips[path] = clip(seed, duration_s)
            lines.append(tsv_row(path, f"Mening {seed} här.", f"{name}-{number % 3}", "teens"))
        splits[name] = lines
    return write_release(folder, splits, clips)


def write_archive(release: Path, path: Path, *, shuffle: int | None = None) -> Path:
    """Pack a release as Mozilla does: one top folder, tables after clips, in the given disorder."""
    files = sorted(file for file in release.rglob("*") if file.is_file())
    if shuffle is not None:
        np.random.default_rng(shuffle).shuffle(files)
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for file in files:
            tar.add(file, f"cv-corpus-99.0/{release.name}/{file.relative_to(release)}")
    return path


def write_manifest(folder: Path, rows: list[dict], name: str = "manifest.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def rejected(corpus: Path) -> list[dict]:
    lines = (corpus / "rejected.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by name: what two corpora must have in common to be the same."""
    return {
        os.path.relpath(path, folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
