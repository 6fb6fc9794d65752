"""A Hub on this machine: datasets and models, by ranges too; and ways for it to fail."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import yaml

COMMIT = "a" * 40


@dataclass
class DatasetHub:
    """Folders as repositories; a number in place of a folder is a status to answer.

    Where `head` is set, a folder holds one folder a commit, and `head` names the one that is main.
    `served` counts bytes by file. After `cut_after` bytes of a file's body the connection breaks,
    `cuts` times in all.
    """

    repos: dict[str, Path | int]
    head: str = ""
    seen: list[str] = field(default_factory=list)
    served: dict[str, int] = field(default_factory=dict)
    cut_after: int = 0
    cuts: int = 0
    endpoint: str = ""

    def bytes_of(self, ending: str) -> int:
        return sum(count for path, count in self.served.items() if path.endswith(ending))


@contextmanager
def serving(hub: DatasetHub) -> Iterator[DatasetHub]:
    """Serve on loopback; `hub.endpoint` is what HF_ENDPOINT has to be."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: DatasetHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self._answer(self.rfile.read(length))

        def _answer(self, body: bytes = b"") -> None:
            path = unquote(urlsplit(self.path).path).strip("/")
            hub.seen.append(f"{self.command} {path}")
            api = re.fullmatch(r"api/(?:datasets|models)/([^/]+/[^/]+)/?(.*)", path)
            file = re.fullmatch(r"(?:datasets/)?([^/]+/[^/]+)/resolve/(.*)", path)
            asked = api or file
            repo = hub.repos.get(asked[1], 404) if asked else 404
            if asked is None or isinstance(repo, int):
                status = repo if isinstance(repo, int) else 404
                code = {404: "RepoNotFound", 403: "GatedRepo"}.get(status)
                self._send(status, b"{}", {"X-Error-Code": code} if code else {})
            elif api:
                self._api(repo, api[1], api[2].split("/") if api[2] else [], body)
            else:
                self._file(repo, asked[2])

        def _api(self, repo: Path, name: str, words: list[str], body: bytes) -> None:
            kind, revision = [*words, "main"][:2] if words else ("revision", "main")
            commit, repo = _checked_out(hub, repo, revision)
            if kind == "auth-check":
                self._json({})
            elif commit is None:
                self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            elif kind == "tree":
                folder = repo / "/".join(words[2:])
                if folder.is_dir():
                    recursive = "recursive=true" in self.path.lower()
                    self._json(_entries(repo, folder.rglob("*") if recursive else folder.iterdir()))
                else:
                    self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            elif kind == "paths-info":
                asked = [repo / one for one in json.loads(body)["paths"]]
                self._json(_entries(repo, [path for path in asked if path.exists()]))
            else:
                self._json(_info(name, commit, repo))

        def _file(self, repo: Path, rest: str) -> None:
            revision, _, inside = rest.partition("/")
            commit, repo = _checked_out(hub, repo, revision)
            file = repo / inside
            if commit is None or not file.is_file():
                self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            data = file.read_bytes()
            headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": commit,
                       "Accept-Ranges": "bytes"}  # fmt: skip
            asked = self.headers.get("Range")
            if not asked:
                self._send(200, data, headers, inside)
                return
            first, _, last = asked.removeprefix("bytes=").partition("-")
            part = data[int(first) : int(last) + 1 if last else None]
            end = int(first) + len(part) - 1
            headers["Content-Range"] = f"bytes {first}-{end}/{len(data)}"
            self._send(206, part, headers, inside)

        def _json(self, value: object) -> None:
            self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _send(self, status: int, body: bytes, headers: dict[str, str], file: str = "") -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            if file and hub.cuts and len(body) > hub.cut_after:
                hub.cuts -= 1
                body = body[: hub.cut_after]
                self.close_connection = True
            hub.served[file] = hub.served.get(file, 0) + len(body)
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


def _checked_out(hub: DatasetHub, repo: Path, revision: str) -> tuple[str | None, Path]:
    """The commit that a revision names, None for no such, and the folder with its files."""
    commit = (hub.head or COMMIT) if revision == "main" else revision
    folder = repo / commit if hub.head else repo
    return (commit if len(commit) == 40 and folder.is_dir() else None), folder


def _entries(repo: Path, paths: Iterable[Path]) -> list[dict]:
    return [
        {"path": path.relative_to(repo).as_posix(), "size": 0, "oid": "0" * 40}
        | (_content(path) if path.is_file() else {"type": "directory"})
        for path in sorted(paths)
    ]


def _content(file: Path) -> dict:
    data = file.read_bytes()
    return {"type": "file", "size": len(data), "oid": hashlib.sha1(data).hexdigest()}


def _info(name: str, commit: str, repo: Path) -> dict:
    files = _entries(repo, (path for path in repo.rglob("*") if path.is_file()))
    siblings = [{"rfilename": file["path"], "size": file["size"]} for file in files]
    return {"id": name, "sha": commit, "siblings": siblings, "private": False, "tags": [],
            "downloads": 0, "likes": 0, "cardData": _card(repo)}  # fmt: skip


def _card(repo: Path) -> dict:
    readme = repo / "README.md"
    return yaml.safe_load(readme.read_text().split("---")[1]) if readme.exists() else {}
