"""A Hub on this machine that takes commits: only what a store needs, and ways to fail."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qs, unquote

LFS_FROM_BYTES = 10_000
Files = dict[str, tuple[bytes, bool]]  # by path: content, and whether it is a large file


@dataclass
class WritableHub:
    """Repositories by name, each the list of its commits (id, files), the newest last."""

    url: str = ""
    repos: dict[str, list[tuple[str, Files]]] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    before_commit: list = field(default_factory=list)  # called once each, before a commit lands
    damage_next_large: bool = False
    lock: Lock = field(default_factory=Lock)

    def commit(self, repo: str, files: Files, message: str = "") -> str:
        commits = self.repos.setdefault(repo, [])
        sha = hashlib.sha1(f"{repo} {len(commits)} {sorted(files)}".encode()).hexdigest()
        commits.append((sha, files))
        self.messages.append(message)
        return sha

    def files(self, repo: str, revision: str = "main") -> Files | None:
        commits = self.repos[repo]
        return dict(commits)[revision] if revision != "main" else commits[-1][1]


@contextmanager
def writable_hub() -> Iterator[WritableHub]:
    hub = WritableHub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: WritableHub

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        path = unquote(self.path.partition("?")[0]).strip("/")
        self.hub.seen.append(f"{self.command} {path}")
        routes = [
            (r"api/repos/create", self._create),
            (r"lfs/(\w+)", self._put_large),
            (r"(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", self._batch),
            (r"api/models/(?P<repo>[^/]+/[^/]+)/preupload/\w+", self._preupload),
            (r"api/models/(?P<repo>[^/]+/[^/]+)/commit/main", self._commit),
            (r"api/models/(?P<repo>[^/]+/[^/]+)/paths-info/(\w+)", self._paths_info),
            (r"api/models/(?P<repo>[^/]+/[^/]+)/tree/(\w+)/?(.*)", self._tree),
            (r"api/models/(?P<repo>[^/]+/[^/]+)(?:/revision/main)?", self._info),
            (r"(?P<repo>[^/]+/[^/]+)/resolve/(\w+)/(.*)", self._resolve),
        ]
        for pattern, route in routes:
            if match := re.fullmatch(pattern, path):
                repo = match.groupdict().get("repo")
                if repo and repo not in self.hub.repos:
                    return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
                return route(body, *match.groups())
        return self._send(404, b"{}", {})

    def _create(self, body: bytes) -> None:
        wanted = json.loads(body)
        name = f"{wanted.get('organization') or 'anna'}/{wanted['name']}"
        if wanted.get("visibility") != "private" and not wanted.get("private"):
            return self._send(400, b"{}", {})
        if name not in self.hub.repos:
            self.hub.commit(name, {".gitattributes": (b"x", False)}, "initial")
        return self._json({"url": f"{self.hub.url}/{name}"})

    def _put_large(self, body: bytes, oid: str) -> None:
        if self.hub.damage_next_large:
            self.hub.damage_next_large = False
            body = bytes([body[0] ^ 1]) + body[1:]
        self.hub.large[oid] = body
        self._send(200, b"", {})

    def _batch(self, body: bytes, _repo: str) -> None:
        objects = [
            {**wanted, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}"}}}
            for wanted in json.loads(body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _preupload(self, body: bytes, _repo: str) -> None:
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] >= LFS_FROM_BYTES else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self._json({"files": modes})

    def _commit(self, body: bytes, repo: str) -> None:
        if self.hub.before_commit:
            self.hub.before_commit.pop(0)()
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        header, operations = lines[0]["value"], lines[1:]
        with self.hub.lock:
            newest, files = self.hub.repos[repo][-1]
            if header.get("parentCommit", newest) != newest:
                return self._send(412, b'{"error": "the branch has moved"}', {})
            files = dict(files)
            for operation in operations:
                value = operation["value"]
                if operation["key"] == "file":
                    files[value["path"]] = (base64.b64decode(value["content"]), False)
                elif operation["key"] == "lfsFile":
                    files[value["path"]] = (self.hub.large[value["oid"]], True)
                else:
                    del files[value["path"]]
            sha = self.hub.commit(repo, files, header["summary"])
        return self._json(
            {"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{repo}/commit/{sha}"}
        )

    def _paths_info(self, body: bytes, repo: str, revision: str) -> None:
        paths = parse_qs(body.decode())["paths"]
        files = self.hub.files(repo, revision)
        self._json([_listed(path, *files[path]) for path in paths if path in files])

    def _tree(self, _body: bytes, repo: str, revision: str, below: str) -> None:
        files = self.hub.files(repo, revision)
        inside = [path for path in sorted(files) if path.startswith(f"{below}/" if below else "")]
        if below and not inside:
            return self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        return self._json([_listed(path, *files[path]) for path in inside])

    def _info(self, _body: bytes, repo: str) -> None:
        sha = self.hub.repos[repo][-1][0]
        self._json({"id": repo, "modelId": repo, "sha": sha, "siblings": [], "private": True,
                    "tags": [], "downloads": 0, "likes": 0})  # fmt: skip

    def _resolve(self, _body: bytes, repo: str, revision: str, path: str) -> None:
        files = self.hub.files(repo, revision)
        if path not in files:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        data, status = files[path][0], 200
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            end = int(wanted[2]) + 1 if wanted[2] else len(data)
            data, status = data[int(wanted[1]) : end], 206
        return self._send(status, data, {"ETag": '"x"'})

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _json(self, answer: object) -> None:
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def _listed(path: str, data: bytes, is_large: bool) -> dict:
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    listed = {"type": "file", "path": path, "oid": blob, "size": len(data)}
    if is_large:
        sha256 = hashlib.sha256(data).hexdigest()
        listed["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 130}
    return listed
