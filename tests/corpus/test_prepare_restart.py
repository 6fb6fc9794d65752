"""The same corpus, byte for byte: with any number of workers, and however often it was killed."""

import itertools
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import interrupted
import pytest
from making import clip, contents, simple_release, tsv_row, write_archive, write_clips

from modersmal.config import DataConfig
from modersmal.corpus import plan, worker
from modersmal.corpus.pool import WorkerPool
from modersmal.corpus.prepare import prepare
from modersmal.errors import CorpusError, ModersmalError
from modersmal.store.faults import VARIABLE

HERE = Path(__file__).parent
KILLED = -9


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """43 clips, some rejected, some twice within and across splits."""
    folder = simple_release(tmp_path_factory.mktemp("source") / "cv" / "sv-SE", 27, 8, 8)
    clips = folder / "clips"
    write_clips(
        clips,
        {
            "common_voice_sv-SE_00000003.wav": clip(1, 0.6),  # as the first
            "common_voice_sv-SE_00000009.wav": clip(30, 0.6),  # as one of dev
            "common_voice_sv-SE_00000033.wav": clip(40, 0.6),  # dev as one of test
            "common_voice_sv-SE_00000012.wav": b"no audio",
        },
    )
    with (folder / "train.tsv").open("a", encoding="utf-8") as table:
        table.write(tsv_row("common_voice_sv-SE_00000001.wav", "Mening 1 här.") + "\nbroken\n")
    return folder


def run(when, count, source, to, workers, fault=""):
    command = [sys.executable, str(HERE / "interrupted.py"), when, str(count)]
    return subprocess.run(
        [*command, str(source), str(to), str(workers)],
        capture_output=True, text=True, timeout=120, env=os.environ | {VARIABLE: fault},
    )  # fmt: skip


def make(source, to, **settings):
    """Prepare in this process; what a killed run has planned is gone on with."""
    return prepare([str(source)], to, data=DataConfig(workers=1, **settings)).corpus


@pytest.fixture(scope="module")
def expected(release, tmp_path_factory):
    to = tmp_path_factory.mktemp("expected") / "corpus"
    assert run("never", 0, release, to, 1).returncode == 0
    return contents(to)


def test_the_fixture_is_worth_it(expected):
    shards = [name for name in expected if name.endswith(".parquet")]
    assert len(shards) == 6 + 2 + 2
    assert expected["rejected.jsonl"].count(b"duplicate") == 3
    assert len(expected["rejected.jsonl"].splitlines()) == 5


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_makes_the_same(release, expected, tmp_path, workers):
    done = run("never", 0, release, tmp_path / "corpus", workers)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "corpus") == expected


@pytest.mark.parametrize(
    ("when", "count", "workers"),
    [("task", 4, 2), ("outcome", 3, 1), ("rewrite", 1, 1), ("finish", 0, 1)],
)
def test_killed_and_started_again_makes_the_same(release, expected, tmp_path, when, count, workers):
    to = tmp_path / "corpus"
    killed = run(when, count, release, to, workers)
    assert killed.returncode == KILLED, killed.stderr
    assert not (to / "corpus.json").exists()
    make(release, to)
    assert contents(to) == expected


def test_killed_again_and_again(release, expected, tmp_path):
    to = tmp_path / "corpus"
    for _ in range(2):
        assert run("outcome", 1, release, to, 1).returncode in (KILLED, 0)
    assert run("rewrite", 2, release, to, 1).returncode == KILLED
    make(release, to)
    assert contents(to) == expected


def test_an_archive_too(release, tmp_path):
    archive = write_archive(release, tmp_path / "cv.tar.gz", shuffle=7)
    assert run("never", 0, archive, tmp_path / "whole", 1).returncode == 0
    killed = run("task", 5, archive, tmp_path / "corpus", 2)
    assert killed.returncode == KILLED
    assert list((tmp_path / "corpus" / ".prepare").glob("outcome-*.json"))
    make(archive, tmp_path / "corpus")
    assert contents(tmp_path / "corpus") == contents(tmp_path / "whole")


def test_workers_do_not_outlive_a_killed_parent(release, tmp_path):
    killed = run("task", 3, release, tmp_path / "corpus", 2)
    workers = [int(pid) for pid in killed.stdout.split()]
    assert len(workers) == 2
    deadline = time.monotonic() + 20
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers))


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- Killed everywhere ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "every"),
    [
        ("file.before-rename", 13),
        *(
            pytest.param(f"file.{point}", 1, marks=pytest.mark.chaos)
            for point in ("before-sync", "before-rename", "after-rename")
        ),
    ],
)
def test_killed_at_every_file_that_it_writes(
    release, expected, record_property, tmp_path, point, every
):
    """The plan, every shard and its outcome, shards written anew, rejected.jsonl, corpus.json."""
    for count in itertools.count(1, every):
        to = tmp_path / str(count)
        killed = run("never", 0, release, to, 1, f"{point}:{count}:kill")
        if killed.returncode == 0:
            break
        assert killed.returncode == KILLED, killed.stderr
        record_property("killed prepare", f"at {point}")
        must_go_on_to(expected, release, to)
    assert count > 25


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_random_moments(release, expected, record_property, tmp_path, seed):
    """Again and again, until there is a corpus in spite of it; and then the next one."""
    draw = random.Random(seed)
    life_ms = {n: int(run("never", 0, release, tmp_path / f"{n}", n).stdout) for n in (1, 2)}
    killed, corpora = 0, 1
    while killed < 10:
        to, workers = tmp_path / f"corpus-{corpora}", draw.choice([1, 2])
        done = run("after", int(draw.uniform(0, life_ms[workers])), release, to, workers)
        if done.returncode == KILLED:
            killed += 1
            record_property("killed prepare", where_it_was(to))
        if (to / "corpus.json").exists() or killed == 10:
            must_go_on_to(expected, release, to)
            corpora += 1


def must_go_on_to(expected, source, to):
    done = run("never", 0, source, to, 1)
    assert done.returncode == 0, done.stderr
    assert contents(to) == expected


def where_it_was(to):
    done = len(list((to / ".prepare").glob("outcome-*.json")))
    if (to / "corpus.json").exists():
        return "ending"
    if not (to / ".prepare" / "plan.json").exists():
        return "planning"
    return "shards" if done < 10 else "finishing"


# --- In this process, where decoding can be counted ----------------------------------------------


@pytest.fixture
def decoded(monkeypatch):
    names = []
    real = worker.decode

    def decode(data, *, name, **limits):
        names.append(name)
        return real(data, name=name, **limits)

    monkeypatch.setattr(worker, "decode", decode)
    monkeypatch.setattr(plan, "SHARD_ROWS", interrupted.SHARD_ROWS)
    return names


def test_each_clip_is_decoded_once(release, tmp_path, decoded):
    make(release, tmp_path / "corpus")
    assert len(decoded) == 44
    assert len(set(decoded)) == 43


def test_a_restart_decodes_only_the_shards_that_were_not_done(release, tmp_path, decoded):
    to = tmp_path / "corpus"
    assert run("outcome", 4, release, to, 1).returncode == KILLED
    make(release, to)
    assert len(decoded) == 44 - 4 * interrupted.SHARD_ROWS


def test_a_finished_corpus_is_not_made_again(release, tmp_path, decoded):
    first = make(release, tmp_path / "corpus")
    decoded.clear()
    before = contents(tmp_path / "corpus")
    assert make(release, tmp_path / "corpus") == first
    assert decoded == []
    assert contents(tmp_path / "corpus") == before


def test_a_finished_corpus_of_something_else_is_not_touched(release, tmp_path, decoded):
    make(release, tmp_path / "corpus")
    before = contents(tmp_path / "corpus")
    with pytest.raises(CorpusError, match="of other sources or settings"):
        make(release, tmp_path / "corpus", codec="flac")
    assert contents(tmp_path / "corpus") == before


def test_a_finished_corpus_outlives_its_sources(tmp_path):
    release = simple_release(tmp_path / "sv-SE", 3, 1, 1)
    corpus = make(release, tmp_path / "corpus")
    release.rename(tmp_path / "elsewhere")
    prepared = prepare([str(release)], tmp_path / "corpus", data=DataConfig(workers=1))
    assert prepared.corpus == corpus
    assert f"{release} is gone; the corpus, made earlier, is taken as it is." in str(prepared)
    with pytest.raises(CorpusError, match="there is no source at"):
        make(release, tmp_path / "corpus", codec="flac")
    with pytest.raises(CorpusError, match="there is no source at"):
        make(release, tmp_path / "other")


def test_other_settings_or_rows_start_an_unfinished_corpus_anew(tmp_path, decoded):
    release = simple_release(tmp_path / "sv-SE", 12, 3, 3)
    to = tmp_path / "corpus"
    assert run("outcome", 2, release, to, 1).returncode == KILLED
    with (release / "train.tsv").open("a", encoding="utf-8") as table:
        table.write(tsv_row("extra.wav", "Ny mening", "ny") + "\n")
    write_clips(release / "clips", {"extra.wav": clip(500)})
    grown = make(release, to)
    assert len(decoded) == 19
    assert len(grown.split("train")) == 13
    assert contents(to) == contents(make(release, tmp_path / "fresh").path)


def test_leftovers_of_a_killed_run_are_removed(release, expected, tmp_path):
    to = tmp_path / "corpus"
    assert run("outcome", 2, release, to, 1).returncode == KILLED
    (to / ".train-00009.parquet.abc.tmp").write_bytes(b"half a shard")
    make(release, to)
    assert contents(to) == expected


# --- Trouble -------------------------------------------------------------------------------------

FULL_DISK = """
import resource, sys
from pathlib import Path
from modersmal.config import DataConfig
from modersmal.corpus.prepare import prepare
from modersmal.errors import ModersmalError
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
try:
    prepare([sys.argv[1]], Path(sys.argv[2]), data=DataConfig(workers=int(sys.argv[3])))
except ModersmalError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_one_sentence_and_the_next_start_goes_on(release, tmp_path, workers):
    (tmp_path / "script.py").write_text(FULL_DISK)
    done = subprocess.run(
        [sys.executable, "script.py", str(release), "corpus", str(workers)],
        capture_output=True, text=True, cwd=tmp_path, timeout=120,
    )  # fmt: skip
    assert done.stdout.startswith("StoreError the disk is full: corpus/")
    assert len(done.stdout.splitlines()) == 1
    assert not list((tmp_path / "corpus").glob(".*.tmp"))
    assert prepare([str(release)], tmp_path / "corpus", data=DataConfig(workers=1))
    assert contents(tmp_path / "corpus")["corpus.json"]


def test_a_killed_worker_is_one_sentence():
    with (
        pytest.raises(ModersmalError, match="a worker process was killed, most likely for want of"),
        WorkerPool(2) as pool,
    ):
        list(pool.run(os._exit, [(9,)]))


def test_workers_import_neither_torch_nor_transformers():
    loaded = "sorted({'torch', 'transformers', 'ctranslate2', 'rich', 'av'} & set(modules))"
    with WorkerPool(2) as pool:
        assert list(
            pool.run(eval, [(f"[modules := __import__('sys').modules, {loaded}][1]",)])
        ) == [[]]


def test_a_script_needs_no_guard(release, expected, tmp_path):
    script = (
        "import sys; from pathlib import Path; from modersmal.config import DataConfig\n"
        "from modersmal.corpus import plan; from modersmal.corpus.prepare import prepare\n"
        "print('once'); plan.SHARD_ROWS = 5\n"
        "prepare([sys.argv[1]], Path('corpus'), data=DataConfig(workers=2))\n"
    )
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py", str(release)],
        capture_output=True, text=True, cwd=tmp_path, timeout=60,
    )  # fmt: skip
    assert done.stdout == "once\n", done.stderr
    assert contents(tmp_path / "corpus") == expected
