"""The doctor computes rather than asks, finishes whatever is broken, and keeps secrets."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

import modersmal
from modersmal.doctor import (
    GIB,
    TRAINING_GIB,
    Check,
    Diagnosis,
    disk,
    doctor,
    far_store,
    gpu,
    hub,
    packages,
    sizes,
    torch_computes,
)
from modersmal.errors import StoreError
from modersmal.store.remote import Remote

SECRET = "hf_thisisasecrettoken"


def module() -> object:
    """The module; the package's attribute of that name is the function."""
    import sys

    return sys.modules["modersmal.doctor"]


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)


@contextmanager
def serving(status: int, body: object, wait_s: float = 0) -> Iterator[tuple[str, list[str]]]:
    """A Hub that gives one answer; yields its address and the authorisations it was sent."""
    sent: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append(str(self.headers["Authorization"]))
            time.sleep(wait_s)
            with suppress(BrokenPipeError):  # who asked has left
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", sent
    finally:
        server.shutdown()
        server.server_close()


def ask(monkeypatch: pytest.MonkeyPatch, endpoint: str, token: str | None) -> Check:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: token)
    return hub()


def test_this_machine_works(no_hub: None) -> None:
    """On real devices: every check ran, and both engines decoded."""
    diagnosis = modersmal.doctor()
    checks = {check.name: check for check in diagnosis.checks}
    assert diagnosis.healthy, str(diagnosis)
    for name in ("python", "packages", "audio", "torch on cpu"):
        assert checks[name].state == "ok"
    assert checks["transformers on cpu"].detail == "decodes one second"
    assert "decodes one second; computes in" in checks["ctranslate2 on cpu"].detail
    assert {"memory", "disk", "gpu", "sizes on cpu", "hub"} <= checks.keys()
    for index in range(torch.cuda.device_count()):
        assert checks[f"transformers on cuda:{index}"].state == "ok"
    assert torch.__version__ in checks["packages"].detail


def test_what_is_not_ok_has_a_remedy(no_hub: None) -> None:
    for check in modersmal.doctor().checks:
        assert check.state == "ok" or check.remedy or check.name.startswith("sizes")


def test_a_broken_part_is_a_finding_and_the_rest_is_examined(
    monkeypatch: pytest.MonkeyPatch, no_hub: None
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise OSError("libcublas.so.12: cannot open shared object file\nand more")

    monkeypatch.setattr("ctranslate2.models.Whisper", breaks)
    diagnosis = modersmal.doctor()
    checks = {check.name: check for check in diagnosis.checks}
    assert not diagnosis.healthy
    assert checks["ctranslate2 on cpu"].state == "fail"
    assert "libcublas.so.12" in checks["ctranslate2 on cpu"].detail
    assert "\n" not in checks["ctranslate2 on cpu"].detail
    assert checks["transformers on cpu"].state == "ok"
    assert "hub" in checks


def test_wrong_products_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: right(a, b) * 1.5)
    assert torch_computes("cpu").state == "fail"


def test_a_driver_that_torch_cannot_use_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has a GPU that works")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = gpu()
    assert found.state == "fail"
    assert torch.__version__ in found.detail
    assert "pytorch.org" in found.remedy


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module(), "PACKAGES", ("torch", "no-such-package"))
    found = packages()
    assert found.state == "fail"
    assert found.detail == "missing: no-such-package"
    assert "pip install" in found.remedy


@pytest.mark.parametrize(
    ("free_gib", "fit"),
    [
        (1, []),
        (4, ["tiny", "base"]),
        (14.6, ["tiny", "base", "small"]),
        (16, ["tiny", "base", "small", "medium"]),
        (80, list(TRAINING_GIB)),
    ],
)
def test_sizes_follow_memory(
    free_gib: float, fit: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module(), "_free_bytes", lambda device: int(free_gib * GIB))
    found = sizes("cuda:0")
    assert found.detail.partition(" (")[0] == (", ".join(fit) or "none")
    assert found.state == ("ok" if fit else "warn")


def test_disk_is_that_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk(tmp_path / "not" / "yet").detail.endswith(f"free in {tmp_path}")
    monkeypatch.setattr(module(), "DISK_GIB", 10**9)
    assert disk(tmp_path).state == "warn"


def test_the_hub_says_who_we_are_and_the_token_stays_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(200, {"name": "anna"}) as (endpoint, sent):
        found = ask(monkeypatch, endpoint, SECRET)
    assert found == Check("hub", "ok", "logged in as anna")
    assert sent == [f"Bearer {SECRET}"]


@pytest.mark.parametrize(
    ("status", "token", "state", "words"),
    [
        (401, None, "ok", "not logged in"),
        (401, SECRET, "warn", "refuses"),
        (503, SECRET, "warn", "answers 503"),
        (200, SECRET, "warn", "cannot be reached"),  # an answer that is not the Hub's
    ],
)
def test_every_answer_of_the_hub_is_a_line(
    status: int, token: str | None, state: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(status, {}) as (endpoint, _):
        found = ask(monkeypatch, endpoint, token)
    assert found.state == state
    assert words in found.detail
    assert SECRET not in repr(found)


def test_a_hub_that_is_away_or_hangs_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cannot be reached" in ask(monkeypatch, "http://127.0.0.1:9", SECRET).detail
    monkeypatch.setattr(module(), "HUB_TIMEOUT_S", 0.2)
    with serving(200, {"name": "anna"}, wait_s=1) as (endpoint, _):
        found = ask(monkeypatch, endpoint, SECRET)
    assert found.state == "warn"
    assert SECRET not in repr(found)


def test_it_reads_as_a_table() -> None:
    shown = str(Diagnosis((Check("a", "ok", "fine"), Check("longer", "warn", "low", "buy more"))))
    assert shown.splitlines() == [
        "ok    a       fine",
        "warn  longer  low",
        "              → buy more",
    ]


def test_a_store_far_away_is_written_and_read(tmp_path: Path) -> None:
    drive = far_store(Remote.open(f"drive://{tmp_path}/drive"))
    assert drive.state == "ok"
    assert drive.detail.endswith("handed over, not confirmed; it lets one machine train a run, "
                                 "as far as it can tell")  # fmt: skip
    assert not list((tmp_path / "drive").rglob("*.*"))
    (tmp_path / "file").write_text("")
    assert far_store(Remote.open(f"drive://{tmp_path}/file/inside")).state == "fail"


def test_a_store_that_nobody_knows_is_refused_before_all(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing-like-it"):
        doctor("nothing-like-it://host/path")
