"""A dataset on the Hub, streamed through `datasets`: no copy of it stays in a cache.

It is read twice: first for its texts, which takes only those columns where it is Parquet (as most
are), then for its clips. What is read is one commit, whatever is added while we read or between a
killed run and its restart. A clip's position is the part (file) of the dataset that it is in and
its row there, so that a restart skips the parts that are done.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, islice
from types import ModuleType
from typing import Any

from modersmal.corpus.licences import Licence, licence
from modersmal.corpus.schema import COLUMNS, split_name
from modersmal.corpus.sources.base import MAX_CLIP_BYTES, PART, Refused, Row, Source, Span
from modersmal.corpus.sources.manifest import AUDIO_COLUMNS, SPEAKER_COLUMNS, TEXT_COLUMNS
from modersmal.corpus.sources.tables import find_column
from modersmal.errors import CorpusError, HubError
from modersmal.offline import is_offline
from modersmal.progress import progress
from modersmal.store.trouble import of_the_remote, plain

_FORM = re.compile(r"hf:([\w.-]+/[\w.-]+)(?::([^@\s]+))?(?:@(\S+))?")
_SPLITS = ("train", "dev", "test")
_HUB_AUDIO_COLUMNS = (*AUDIO_COLUMNS, "flac", "mp3", "opus", "wav")
_HUB_TEXT_COLUMNS = (*TEXT_COLUMNS, "raw_transcription", "raw_text", "normalized_text", "txt")

_MOST_PARTS = 1000  # files of a split are read in groups beyond that
_TYPICAL_CLIP_BYTES = 200_000
_TEXTS_AT_ONCE = 1000
_CLIPS_AT_ONCE = 50
_BUFFER_BYTES = 8 << 20  # read of a column at once, so that large row groups are not held whole


@dataclass(frozen=True)
class Address:
    """`hf:OWNER/NAME[:config][@revision]`."""

    repo: str
    config: str | None
    revision: str | None

    @classmethod
    def of(cls, written: str) -> "Address":
        match = _FORM.fullmatch(written)
        if not match:
            raise CorpusError(
                f"{written!r} is not hf:OWNER/NAME, with :config and @revision where needed"
            )
        return cls(*match.groups())

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf:{self.name}{revision}"

    @property
    def name(self) -> str:
        return f"{self.repo}:{self.config}" if self.config else self.repo


class HubDataset(Source):
    """The dataset at an address. A split named train alone counts as none: clips are dealt anew."""

    kind = "hub"

    def __init__(self, written: str) -> None:
        self._at = Address.of(written)
        super().__init__(self._at.name, None)
        self.address = str(self._at)

    def fingerprint(self) -> str:
        return hashlib.sha256(str(self._at).encode()).hexdigest()

    def check(self) -> None:
        """Settle on a commit, and see that its files may be read."""
        _datasets()
        if is_offline():
            raise HubError(
                f"{self._at} is read from the Hub while it is prepared, and this is offline; with "
                "the network, `modersmal fetch` or `modersmal prepare` makes the corpus"
            )
        from huggingface_hub import HfApi

        with _told(self._at):
            api = HfApi()
            info = api.dataset_info(self._at.repo, revision=self._at.revision)
            api.auth_check(self._at.repo, repo_type="dataset")
        self.revision = info.sha
        self.licence = _licence(info.card_data.to_dict() if info.card_data else {})

    def fetch(self) -> bool:
        """False: its one copy is the corpus, which `prepare` makes."""
        return False

    def settle(self, described: dict[str, Any]) -> bool:
        self.revision = described["revision"]
        return True

    def rows(self) -> Iterator[Row | Refused]:
        if self.revision is None:
            self.check()
        layout = self._layout
        streams = self._streams(layout.texts, _TEXTS_AT_ONCE)
        with _told(self._at), progress(f"Reading {self.name}", unit="rows") as advance:
            sizes = _clip_bytes(layout) if layout.is_parquet else {}
            for written, start, parts in layout.parts(streams):
                number = 0
                for part, stream in enumerate(parts, start):
                    for place, example in enumerate(stream):
                        size = sizes.get(written) or _size(example.get(layout.audio))
                        yield layout.row(example, written, number, part * PART + place, size)
                        number += 1
                        advance()

    def clips(self, spans: Sequence[Span]) -> Iterator[tuple[int, bytes]]:
        """Clips as the dataset keeps them, of the parts that hold something within `spans`."""
        layout = self._layout
        streams = self._streams([layout.audio], _CLIPS_AT_ONCE)
        with _told(self._at):
            for _, start, parts in layout.parts(streams):
                for part, stream in enumerate(parts, start):
                    first = part * PART
                    ends = [end for begin, end in spans if begin < first + PART and end >= first]
                    if ends:
                        wanted = islice(stream, max(ends) - first + 1)
                        for place, example in enumerate(wanted, first):
                            yield place, self._bytes(example[layout.audio])

    @cached_property
    def _layout(self) -> "_Layout":
        with _told(self._at):
            builder = self._builder({})
            streams = builder.as_streaming_dataset()
        features = next(iter(streams.values())).features
        if features is None:
            raise CorpusError(
                f"{self._at} does not say which columns it has; try its Parquet version, "
                f"hf:{self._at.name}@refs/convert/parquet"
            )
        return _Layout(builder, features, list(streams), str(self._at))

    def _streams(self, columns: list[str], rows_at_once: int) -> Mapping[str, Any]:
        """Every split as an iterable dataset; of a Parquet one, only these columns are read."""
        options: dict[str, Any] = {}
        if self._layout.is_parquet:
            from pyarrow.dataset import ParquetFragmentScanOptions

            options = {
                "columns": columns,
                "batch_size": rows_at_once,
                "fragment_scan_options": ParquetFragmentScanOptions(
                    use_buffered_stream=True, buffer_size=_BUFFER_BYTES, pre_buffer=False
                ),
            }
        with _told(self._at):
            return self._builder(options).as_streaming_dataset()

    def _builder(self, options: dict[str, Any]) -> Any:
        builder = _datasets().load_dataset_builder(
            self._at.repo, self._at.config, revision=self.revision, **options
        )
        if hasattr(builder.config, "decode_num_threads"):
            builder.config.decode_num_threads = 0  # threads that open files, which we do not want
        return builder

    def _bytes(self, audio: Any) -> bytes:
        """A clip's bytes, none where there are none, too many, or the dataset points elsewhere."""
        if isinstance(audio, dict):
            audio = audio.get("path") if audio.get("bytes") is None else audio["bytes"]
        data = self._file(audio) if isinstance(audio, str) else audio or b""
        return data if len(data) <= MAX_CLIP_BYTES else b""

    def _file(self, path: str) -> bytes:
        """A file of this very commit, or one inside its zip files; a row may name anything."""
        import fsspec

        home = f"hf://datasets/{self._at.repo}@{self.revision}/"
        *inside, file = path.split("::")
        zipped = all(hop.startswith("zip://") for hop in inside)
        if not (file.startswith(home) and zipped) or ".." in file:
            return b""
        try:
            with fsspec.open(path, "rb") as file:
                return file.read(MAX_CLIP_BYTES + 1)
        except FileNotFoundError:
            return b""


class _Layout:
    """What a dataset is made of: which columns hold what, and which splits are read as what."""

    def __init__(
        self, builder: Any, features: Mapping[str, Any], splits: list[str], name: str
    ) -> None:
        self.features = features
        self.is_parquet = hasattr(builder.config, "fragment_scan_options")
        self.files: Mapping[str, Sequence[str]] = builder.config.data_files or {}
        self.splits = _choose_splits(splits, name)
        self.audio = _audio_column(features, name)
        self.stored = _as_stored(builder, features[self.audio])
        self.texts = [
            column for column in features if column != self.audio and _is_plain(features[column])
        ]
        self.text = find_column(self.texts, _HUB_TEXT_COLUMNS, "the text", name) or ""
        self.speaker = find_column(self.texts, SPEAKER_COLUMNS, "the speaker", name, needed=False)

    def parts(self, streams: Mapping[str, Any]) -> Iterator[tuple[str, int, Iterator[Any]]]:
        """Each split that is read: its name, the number of its first part, and its parts."""
        counts = [min(streams[written].num_shards, _MOST_PARTS) for written in self.splits]
        starts = [0, *accumulate(counts)]
        for written, start, count in zip(self.splits, starts, counts, strict=False):
            stream = streams[written]
            if self.audio in stream.features:
                stream = stream.cast_column(self.audio, self.stored)
            yield written, start, (stream.shard(count, index) for index in range(count))

    def row(
        self, example: Mapping[str, Any], split: str, number: int, position: int, size: int
    ) -> Row:
        values = {column: self._shown(column, example[column]) for column in self.texts}
        text = values.pop(self.text)
        speaker = values.pop(self.speaker, "") if self.speaker else ""
        return Row(
            path=f"{split}/{number}",
            text=text,
            where=f"{split} row {number}",
            speaker=speaker.strip() or None,
            split=self.splits[split],
            size=size,
            position=position,
            extras={
                column: value
                for column, value in values.items()
                if column not in COLUMNS and value.strip()
            },
        )

    def _shown(self, column: str, value: Any) -> str:
        feature = self.features[column]
        if value is not None and hasattr(feature, "int2str") and value >= 0:
            return feature.int2str(value)
        return "" if value is None else str(value)


def _datasets() -> ModuleType:
    try:
        import datasets
    except ImportError:
        raise CorpusError(
            "hf: sources need the package datasets: pip install 'modersmal[hf]'"
        ) from None
    return datasets


def _choose_splits(names: list[str], where: str) -> dict[str, str | None]:
    """The splits to read, as a corpus calls them; None for clips that are to be dealt anew.

    Of train.clean and test_other the beginning counts. Where a dataset has such splits, others
    (validated, invalidated, …) are left out, since they repeat them or are worse.
    """
    meant = {name: split_name(re.split(r"[._-]", name)[0]) for name in names}
    known: dict[str, str | None] = {
        name: split for name, split in meant.items() if split in _SPLITS
    }
    if len(names) == 1 and known.get(names[0]) in (None, "train"):
        return {names[0]: None}
    if not known:
        raise CorpusError(
            f"{where} has the splits {', '.join(names)}, none of them train, validation or test"
        )
    return known


def _audio_column(features: Mapping[str, Any], where: str) -> str:
    """The column of audio, by its type; by its name where there are several."""
    found = [column for column, feature in features.items() if _is_audio(column, feature)]
    if len(found) == 1:
        return found[0]
    if found:
        return find_column(found, _HUB_AUDIO_COLUMNS, "the audio", where) or ""
    raise CorpusError(
        f"{where} has no column of encoded audio; its columns are {', '.join(features)[:300]}"
    )


def _is_audio(column: str, feature: Any) -> bool:
    if isinstance(feature, dict):
        return {"bytes", "path"} <= feature.keys()
    binary = getattr(feature, "dtype", None) in ("binary", "large_binary")
    return type(feature).__name__ == "Audio" or (binary and column.lower() in _HUB_AUDIO_COLUMNS)


def _as_stored(builder: Any, feature: Any) -> Any:
    """What to take audio for, so that nobody opens it: bytes, bytes with a path, or a path."""
    value = _datasets().Value
    if hasattr(builder.config, "drop_metadata"):  # a folder of audio files
        return value("string")
    if type(feature).__name__ == "Audio":
        return {"bytes": value("binary"), "path": value("string")}
    return feature


def _is_plain(feature: Any) -> bool:
    """Whether a column holds single values that can be written as text."""
    kind = type(feature).__name__
    return kind == "ClassLabel" or (
        kind == "Value" and feature.dtype not in ("binary", "large_binary", "null")
    )


def _size(audio: Any) -> int:
    data = audio.get("bytes") if isinstance(audio, dict) else audio
    return len(data) if isinstance(data, bytes) else _TYPICAL_CLIP_BYTES


def _clip_bytes(layout: _Layout) -> dict[str, int]:
    """About how many bytes a clip of each split has, from what the first file says of itself."""
    import fsspec
    import pyarrow.parquet as pq

    means = {}
    for split in layout.splits:
        with fsspec.open(layout.files[split][0], "rb") as file:
            about = pq.read_metadata(file)
        total = sum(
            chunk.total_compressed_size
            for group in map(about.row_group, range(about.num_row_groups))
            for chunk in map(group.column, range(group.num_columns))
            if chunk.path_in_schema.split(".")[0] == layout.audio
        )
        means[split] = total // max(1, about.num_rows)
    return means


def _licence(card: Mapping[str, Any]) -> Licence:
    """The licence that a dataset card states; one of several is none that is known."""
    stated = card.get("license")
    if isinstance(stated, list):
        stated = stated[0] if len(stated) == 1 else ", ".join(map(str, stated))
    name = card.get("license_name") if stated == "other" else stated
    return licence(name, card.get("license_link"))


@contextmanager
def _told(address: Address) -> Iterator[None]:
    """Turn what goes wrong between us and the Hub into one sentence, with the page to visit."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/datasets/{address.repo}"
    try:
        yield
    except errors.GatedRepoError as error:
        raise HubError(
            f"{address} is gated: accept its terms at {page} and log in (`hf auth login`)"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"the Hub has no dataset {address.repo}, or it is private: check the name, or log in "
            "(`hf auth login`)"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{address.repo} has no revision {address.revision}; see {page}") from error
    except (ValueError, RuntimeError, NotImplementedError, FileNotFoundError) as error:
        raise CorpusError(f"{address} cannot be read: {_reason(error)}; see {page}") from error
    except Exception as error:
        if not of_the_remote(error):
            raise
        raise HubError(
            f"{address} does not come from the Hub ({plain(error)}); check the network and start "
            "the same command again, it goes on where it was"
        ) from error


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300].rstrip(".") or type(error).__name__
