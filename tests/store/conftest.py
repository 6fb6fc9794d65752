"""An S3 server that can be told to fail, and folders to send there."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flaky_s3 import FlakyS3, flaky_s3

from modersmal import store
from modersmal.store.remote import Backoff, Remote

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "very-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture(scope="session")
def s3_server() -> Iterator[FlakyS3]:
    with flaky_s3() as served:
        yield served


@pytest.fixture
def s3(s3_server: FlakyS3, monkeypatch: pytest.MonkeyPatch) -> FlakyS3:
    """The server, whole again, with an empty bucket `bucket`; the environment leads to it."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": s3_server.url}.items():
        monkeypatch.setenv(name, value)
    s3_server.reset()
    return s3_server


@pytest.fixture
def quick() -> Backoff:
    """Tries again at once, for 5 s."""
    return Backoff(first_s=0.01, longest_s=0.05, within_s=5.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete folder: two files, one of them below, and a manifest."""
    return write_folder(tmp_path / "whole")


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    return lambda name, size_bytes=1000: write_folder(tmp_path / name, size_bytes)


def write_folder(path: Path, size_bytes: int = 1000) -> Path:
    store.write_bytes(path / "weights.bin", os.urandom(size_bytes))
    store.write_bytes(path / "deep" / "state.json", f'{{"of": "{path.name}"}}'.encode())
    store.write_manifest(path)
    return path


@pytest.fixture(params=["folder", "memory", "s3", "drive"])
def remote(request: pytest.FixtureRequest, tmp_path: Path, quick: Backoff) -> Remote:
    """A remote of each kind."""
    urls = {
        "folder": str(tmp_path / "remote"),
        "memory": f"memory://{tmp_path}",
        "s3": "s3://bucket/some/where",
        "drive": f"drive://{tmp_path}/drive",
    }
    if request.param == "s3":
        request.getfixturevalue("s3")
    return Remote.open(urls[request.param], backoff=quick)
