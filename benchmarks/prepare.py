"""`prepare` against the notebook's way, on the same clips with two processes each.

    MODERSMAL_BENCH_DATA=/data/cv-corpus-0.1-synthetic python benchmarks/prepare.py
    python benchmarks/prepare.py --memory

MODERSMAL_BENCH_DATA is a Common Voice language folder, or a folder above it. The notebook's way is
`datasets.map` with WhisperFeatureExtractor and the tokenizer, then `save_to_disk`; it decodes with
soundfile and soxr here as `prepare` does (faster than what the notebook used). Needs the `bench`
extra. `--memory` measures the summed PSS of all of prepare's processes over 100,000 distinct
generated clips that come from a .tar.gz; it takes about 6 GB of disk.
"""

import argparse
import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np

from measured import family, pss_bytes

PROCESSES = 2
WANTED = {"original": (20, 30), "flac": (14, 10)}  # times the clips/s, one part of the bytes
MEMORY_LIMIT_MB = 600
CLIPS = 100_000
CLIP_SAMPLES = 12_800  # 0.8 s, as many bytes as a Common Voice clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", action="store_true", help="measure memory instead of speed")
    parser.add_argument("--clips", type=int, help="fewer clips, for a quick try")
    parser.add_argument("--work", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--part", choices=["notebook", "prepare"], help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--codec", default="original", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        run_part(options)
        return
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        if options.memory:
            measure_memory(Path(work), options.clips or CLIPS)
        else:
            measure_speed(Path(work), options.clips)


# --- Speed and bytes -----------------------------------------------------------------------------


def measure_speed(work: Path, clips: int | None) -> None:
    """Run both ways on the same rows, one after the other, and print the ratios."""
    source = warmed_source(work, clips)
    notebook_rate, notebook_bytes = part("notebook", source, work)
    print(f"the notebook's way: {notebook_rate:7.1f} clips/s, {notebook_bytes:9,.0f} bytes/clip")
    for codec, (faster, smaller) in WANTED.items():
        rate, size = part("prepare", source, work, "--codec", codec)
        print(
            f"prepare, {codec:8}:  {rate:7.1f} clips/s, {size:9,.0f} bytes/clip: "
            f"{rate / notebook_rate:.1f} x the speed (wanted {faster}), "
            f"1/{notebook_bytes / size:.1f} of the bytes (wanted 1/{smaller})"
        )


def warmed_source(work: Path, clips: int | None) -> Path:
    """The release, or some of its clips, read once so that neither side pays for a cold disk."""
    from modersmal.corpus.sources.common_voice import CommonVoiceFolder, find_release

    given = os.environ.get("MODERSMAL_BENCH_DATA")
    release = find_release(Path(given), "sv") if given else None
    if release is None:
        raise SystemExit("set MODERSMAL_BENCH_DATA to a folder with a Common Voice release")
    rows = list(CommonVoiceFolder(release).rows())
    rows = rows[:: max(1, len(rows) // clips)] if clips else rows
    cut = work / "cv" / release.name
    (cut / "clips").mkdir(parents=True)
    for split in ("train", "dev", "test"):
        lines = (release / f"{split}.tsv").read_text("utf-8").splitlines()
        wanted = {row.path for row in rows if row.split == split}
        kept = [line for line in lines[1:] if line.split("\t")[1] in wanted]
        (cut / f"{split}.tsv").write_text("\n".join([lines[0], *kept]) + "\n", encoding="utf-8")
    for row in rows:
        shutil.copy(release / "clips" / row.path, cut / "clips" / row.path)
    return cut


def part(name: str, source: Path, work: Path, *more: str) -> tuple[float, float]:
    """Run one side in a fresh process; clips/s and bytes per clip."""
    command = [sys.executable, __file__, "--part", name, "--source", str(source), *more]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(work / "cache")}
    with tempfile.TemporaryDirectory(dir=work) as folder:
        done = subprocess.run(
            [*command, "--work", folder], stdout=subprocess.PIPE, text=True, check=True,
            env=environment,
        )  # fmt: skip
        clips, seconds = done.stdout.split()[-2:]
        written = sum(path.stat().st_size for path in Path(folder, "out").rglob("*"))
    shutil.rmtree(work / "cache", ignore_errors=True)
    return int(clips) / float(seconds), written / int(clips)


def run_part(options: argparse.Namespace) -> None:
    """In the fresh process: print clips and seconds, imports not counted, processes counted."""
    run = notebook if options.part == "notebook" else ours
    print(*run(options.source, options.work / "out", options.codec))


def ours(source: Path, to: Path, codec: str) -> tuple[int, float]:
    from modersmal.config import DataConfig
    from modersmal.corpus.prepare import prepare

    began = time.perf_counter()
    data = DataConfig(codec=codec, workers=PROCESSES)
    corpus = prepare([str(source)], to, data=data).corpus
    seconds = time.perf_counter() - began
    return sum(split["clips"] for split in corpus.info["splits"].values()), seconds


def notebook(source: Path, to: Path, _: str) -> tuple[int, float]:
    import soundfile
    import soxr
    from datasets import Dataset, DatasetDict
    from transformers import WhisperFeatureExtractor

    from modersmal.corpus.sources.common_voice import CommonVoiceFolder
    from modersmal.language import Vocabulary, tokenizer

    extractor = WhisperFeatureExtractor()

    def prepare_row(row: dict) -> dict:
        samples, rate_hz = soundfile.read(row["path"], dtype="float32")
        samples = soxr.resample(samples, rate_hz, 16_000)
        features = extractor(samples, sampling_rate=16_000).input_features[0]
        labels = tokenizer(Vocabulary.MULTILINGUAL).encode(row["sentence"]).ids
        return {"input_features": features, "labels": labels}

    rows = list(CommonVoiceFolder(source).rows())
    splits = DatasetDict()
    began = time.perf_counter()
    for split in ("train", "dev", "test"):
        mine = [row for row in rows if row.split == split]
        paths = [str(source / "clips" / row.path) for row in mine]
        table = Dataset.from_dict({"path": paths, "sentence": [row.text for row in mine]})
        splits[split] = table.map(
            prepare_row, remove_columns=table.column_names, num_proc=PROCESSES
        )
    splits.save_to_disk(str(to))
    return len(rows), time.perf_counter() - began


# --- Memory --------------------------------------------------------------------------------------


def measure_memory(work: Path, clips: int) -> None:
    """Prepare generated clips and print what all processes together held, over time."""
    archive = generate(work / "generated.tar.gz", clips)
    command = [sys.executable, __file__, "--part", "prepare", "--source", str(archive)]
    process = subprocess.Popen([*command, "--work", str(work)], stdout=subprocess.PIPE, text=True)
    samples = []
    began = time.monotonic()
    while process.poll() is None:
        used = sum(pss_bytes(pid) for pid in family(process.pid)) / 1e6
        samples.append((time.monotonic() - began, used))
        time.sleep(0.25)
    if process.returncode:
        raise SystemExit(f"prepare ended with {process.returncode}")
    kept, seconds = process.stdout.read().split()[-2:]
    print(f"{int(kept):,} clips kept in {float(seconds):.0f} s")
    for tenth in np.array_split(np.array(samples), 10):
        print(f"from {tenth[0, 0]:6.1f} s: at most {tenth[:, 1].max():5.0f} MB of all processes")
    peak = max(used for _, used in samples)
    print(f"peak {peak:.0f} MB, the limit is {MEMORY_LIMIT_MB} MB")


def generate(path: Path, clips: int) -> Path:
    """A release of distinct short clips in an archive, tables last as Mozilla has them."""
    header = "client_id\tpath\tsentence\tage\tgender\taccents"
    tables: dict[str, list[str]] = {"train": [header], "dev": [header], "test": [header]}
    with (
        gzip.open(path, "wb", compresslevel=1) as compressed,
        tarfile.open(fileobj=compressed, mode="w|") as tar,
    ):
        for number in range(clips):
            name = f"clip_{number:07d}.wav"
            split = {0: "dev", 1: "test"}.get(number % 20, "train")
            speaker = f"{split}{number % 997:04d}" + "0" * 120
            tables[split].append(f"{speaker}\t{name}\tMening {number} i {split}.\tteens\t\t")
            add(tar, f"cv/sv-SE/clips/{name}", wav(number))
        for split, lines in tables.items():
            add(tar, f"cv/sv-SE/{split}.tsv", ("\n".join(lines) + "\n").encode())
    return path


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def wav(seed: int) -> bytes:
    """Noise that no other seed makes, as 16-bit WAV at 16 kHz."""
    draw = np.random.default_rng(seed)
    samples = draw.integers(-3000, 3000, CLIP_SAMPLES, dtype=np.int16).tobytes()
    sizes = [(36 + len(samples)).to_bytes(4, "little"), len(samples).to_bytes(4, "little")]
    form = b"\x10\0\0\0\1\0\1\0" + (16_000).to_bytes(4, "little") + (32_000).to_bytes(4, "little")
    return b"RIFF" + sizes[0] + b"WAVEfmt " + form + b"\2\0\x10\0data" + sizes[1] + samples


if __name__ == "__main__":
    main()
