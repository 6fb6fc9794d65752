"""A Hub on this machine that takes commits: what stores and publications need, and ways to fail."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qs, unquote

import yaml

LFS_FROM_BYTES = 10_000
TOKEN = "hf_notarealtoken"
HANG_S = 60.0
RETRY_AFTER_S = 2
Files = dict[str, tuple[bytes, bool]]  # by path: content, and whether it is a large file


@dataclass(frozen=True)
class _File:
    """A small file's content; of a large one, what its commit said of it."""

    content: bytes | None
    oid: str = ""
    size: int = 0


@dataclass
class Repo:
    commits: dict[str, dict[str, _File]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    private: bool = True

    def commit_of(self, revision: str) -> str | None:
        named = self.branches.get(revision) or self.tags.get(revision) or revision
        return named if named in self.commits else None


@dataclass
class Trouble:
    """What to do with the next `times` requests whose "METHOD path" matches `pattern`.

    `error` (500), `lost` (done, but the answer is a 500), `race` (412), `busy` (429 with
    Retry-After), `cut` (the connection ends at 60 % of what is sent), `short` (60 % of it is
    stored), `hang` (for HANG_S), `forbidden` (403), `unauthorized` (401).
    """

    pattern: str
    kind: str
    times: int = 1


@dataclass
class WritableHub:
    """Repositories by name, those of datasets as ds:USER/NAME.

    `trusting`: it lists of large files what their commit said. `moves` are all commits: the branch,
    and the names and contents that it held then.
    """

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    moves: list[tuple[str, set[str]]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    before_commit: list = field(default_factory=list)  # called once each, before a commit lands
    damage_next_large: bool = False
    trusting: bool = False
    down: bool = False
    received_bytes: int = 0  # of large files, also of those that did not arrive whole
    ended: Event = field(default_factory=Event)
    lock: Any = field(default_factory=Lock)

    def commit(self, repo: str, files: Files, message: str = "", branch: str = "main") -> str:
        """Commit all of `files`, and nothing else, without a request."""
        entries = {}
        for path, (content, large) in files.items():
            entries[path] = _File(content)
            if large:
                oid = hashlib.sha256(content).hexdigest()
                self.large[oid] = content
                entries[path] = _File(None, oid, len(content))
        return self.add(self.repos.setdefault(repo, Repo()), entries, message, branch)

    def add(self, repo: Repo, entries: dict[str, _File], message: str, branch: str) -> str:
        sha = hashlib.sha1(f"{id(repo)} {len(repo.commits)} {sorted(entries)}".encode()).hexdigest()
        repo.commits[sha] = entries
        repo.branches[branch] = sha
        self.messages.append(message)
        self.moves.append((branch, {f"{path} {self.oid(file)}" for path, file in entries.items()}))
        return sha

    def files(self, repo: str, revision: str = "main") -> Files:
        held = self.repos[repo]
        entries = held.commits[held.commit_of(revision) or ""]
        return {path: (self.content(file), file.content is None) for path, file in entries.items()}

    def oid(self, file: _File) -> str:
        return file.oid if file.content is None else _git_sha1(file.content)

    def content(self, file: _File) -> bytes:
        return self.large[file.oid] if file.content is None else file.content

    def trouble(self, pattern: str, kind: str, times: int = 1) -> None:
        self.troubles.append(Trouble(pattern, kind, times))

    def next_trouble(self, request: str) -> str:
        with self.lock:
            self.seen.append(request)
            if self.down:
                return "error"
            for trouble in self.troubles:
                if trouble.times and re.search(trouble.pattern, request):
                    trouble.times -= 1
                    return trouble.kind
        return ""

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, request)) for request in self.seen)


@contextmanager
def writable_hub() -> Iterator[WritableHub]:
    hub = WritableHub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


_REPO = r"api/models/(?P<repo>[^/]+/[^/]+)"
_ROUTES = [
    (r"POST api/repos/create", "_create"),
    (r"POST api/validate-yaml", "_validate"),
    (r"PUT lfs/(\w+)", "_put_large"),
    (r"POST (?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", "_batch"),
    (rf"POST {_REPO}/preupload/([^/]+)", "_preupload"),
    (rf"POST {_REPO}/commit/([^/]+)", "_commit"),
    (rf"POST {_REPO}/paths-info/([^/]+)", "_paths_info"),
    (rf"GET {_REPO}/tree/([^/]+)/?(.*)", "_tree"),
    (rf"GET {_REPO}/refs", "_refs"),
    (rf"(?P<method>POST|DELETE) {_REPO}/branch/([^/]+)", "_branch"),
    (rf"(POST) {_REPO}/tag/([^/]+)", "_tag"),
    (rf"GET {_REPO}(?:/revision/([^/]+))?", "_info"),
    (r"(?:GET|HEAD) (?P<repo>[^/]+/[^/]+)/resolve/([^/]+)/(.*)", "_resolve"),
]


class _Handler(BaseHTTPRequestHandler):
    hub: WritableHub

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _answer(self) -> None:
        path = unquote(self.path.partition("?")[0]).strip("/")
        path = re.sub(r"^(api/)?datasets/", lambda m: "api/models/ds:" if m[1] else "ds:", path)
        request = f"{self.command} {path}"
        kind = self.hub.next_trouble(request)
        length = int(self.headers.get("Content-Length") or 0)
        if kind == "cut":
            self._count(request, len(self.rfile.read(int(0.6 * length))))
            self.close_connection = True
            return self.connection.close()
        body = self.rfile.read(length)
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        self._count(request, len(body))
        if kind == "hang":
            self.hub.ended.wait(HANG_S)
            return None
        if kind == "short":
            body = body[: int(0.6 * len(body))]
        if kind == "lost":
            self._send = lambda *answer: None  # type: ignore[method-assign]
            self._route(request, body)
            del self._send
        if kind in _REFUSALS or kind == "lost":
            return self._send(*_REFUSALS.get(kind, _REFUSALS["error"]))
        return self._route(request, body)

    def _count(self, request: str, size: int) -> None:
        if request.startswith("PUT lfs/"):
            with self.hub.lock:
                self.hub.received_bytes += size

    def _route(self, request: str, body: bytes) -> None:
        for pattern, route in _ROUTES:
            if match := re.fullmatch(pattern, request):
                name = match.groupdict().get("repo")
                if name and not self._may_see(name):
                    return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
                others = [text for text in match.groups() if text != name]
                return getattr(self, route)(body, *([name] if name else []), *others)
        return self._send(404, b"{}", {})

    def _may_see(self, name: str) -> bool:
        repo = self.hub.repos.get(name)
        return repo is not None and (not repo.private or self._logged_in())

    def _logged_in(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _create(self, body: bytes) -> None:
        wanted = json.loads(body)
        kind = "ds:" if wanted.get("type") == "dataset" else ""
        name = f"{kind}{wanted.get('organization') or 'anna'}/{wanted['name']}"
        url = f"{self.hub.url}/{name}".replace("/ds:", "/datasets/")
        if not self._logged_in():
            return self._send(*_REFUSALS["unauthorized"])
        if not name.removeprefix("ds:").startswith("anna/"):
            return self._send(*_REFUSALS["forbidden"])
        if name not in self.hub.repos:
            self.hub.commit(name, {".gitattributes": (b"x", False)}, "initial")
            private = wanted.get("visibility") == "private" or wanted.get("private", False)
            self.hub.repos[name].private = private
            return self._json({"url": url})
        return self._send(409, json.dumps({"url": url}).encode(), {})

    def _validate(self, body: bytes) -> None:
        content = json.loads(body)["content"]
        try:
            header = yaml.safe_load(content.split("---\n")[1])
            for result in (
                one for model in header.get("model-index", []) for one in model["results"]
            ):
                named = result["task"]["type"], result["dataset"]["type"], result["dataset"]["name"]
                scored = [(metric["type"], metric["value"]) for metric in result["metrics"]]
                if not (all(named) and scored):
                    raise KeyError("metrics")
            return self._json({"errors": [], "warnings": []})
        except (AttributeError, IndexError, KeyError, TypeError, yaml.YAMLError) as error:
            errors = [{"message": f"the card has no valid metadata: {error}"}]
        return self._send(400, json.dumps({"errors": errors, "warnings": []}).encode(), {})

    def _put_large(self, body: bytes, oid: str) -> None:
        if self.hub.damage_next_large:
            self.hub.damage_next_large = False
            body = bytes([body[0] ^ 1]) + body[1:]
        self.hub.large[oid] = body
        self._send(200, b"", {})

    def _batch(self, body: bytes, _repo: str) -> None:
        objects = []
        for wanted in json.loads(body)["objects"]:
            href = f"{self.hub.url}/lfs/{wanted['oid']}"
            stored = self.hub.large.get(wanted["oid"])
            there = stored is not None and len(stored) == wanted["size"]
            damaged = there and hashlib.sha256(stored).hexdigest() != wanted["oid"]
            upload = {} if there and not damaged else {"actions": {"upload": {"href": href}}}
            objects.append({**wanted, **upload})
        self._json({"transfer": "basic", "objects": objects})

    def _preupload(self, body: bytes, repo: str, revision: str) -> None:
        commit = self.hub.repos[repo].commit_of(revision)
        if commit is None:
            return self._no_revision()
        there = self.hub.repos[repo].commits[commit]
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] >= LFS_FROM_BYTES else "regular",
                "shouldIgnore": False,
                "oid": self.hub.oid(there[file["path"]]) if file["path"] in there else None,
            }
            for file in json.loads(body)["files"]
        ]
        return self._json({"files": modes})

    def _commit(self, body: bytes, name: str, branch: str) -> None:
        if self.hub.before_commit:
            self.hub.before_commit.pop(0)()
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        header, operations = lines[0]["value"], lines[1:]
        with self.hub.lock:
            repo = self.hub.repos[name]
            if branch not in repo.branches:
                return self._no_revision()
            newest = repo.branches[branch]
            if header.get("parentCommit", newest) != newest:
                return self._send(*_REFUSALS["race"])
            files = dict(repo.commits[newest])
            for operation in operations:
                value = operation["value"]
                if operation["key"] == "file":
                    files[value["path"]] = _File(base64.b64decode(value["content"]))
                elif operation["key"] == "lfsFile":
                    if value["oid"] not in self.hub.large:
                        return self._send(400, b'{"error": "no such large file"}', {})
                    files[value["path"]] = _File(None, value["oid"], value["size"])
                else:
                    del files[value["path"]]
            sha = self.hub.add(repo, files, header["summary"], branch)
        url = f"{self.hub.url}/{name}/commit/{sha}".replace("/ds:", "/datasets/")
        return self._json({"success": True, "commitOid": sha, "commitUrl": url})

    def _paths_info(self, body: bytes, repo: str, revision: str) -> None:
        commit = self.hub.repos[repo].commit_of(revision)
        if commit is None:
            return self._no_revision()
        files = self.hub.repos[repo].commits[commit]
        paths = parse_qs(body.decode())["paths"]
        return self._json([self._listed(path, files[path]) for path in paths if path in files])

    def _tree(self, _body: bytes, repo: str, revision: str, below: str) -> None:
        files = self.hub.repos[repo].commits[self.hub.repos[repo].commit_of(revision) or ""]
        inside = [path for path in sorted(files) if path.startswith(f"{below}/" if below else "")]
        if below and not inside:
            return self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        return self._json([self._listed(path, files[path]) for path in inside])

    def _listed(self, path: str, file: _File) -> dict:
        if file.content is not None:
            content = file.content
            oid = _git_sha1(content)
            return {"type": "file", "path": path, "oid": oid, "size": len(content)}
        stored = self.hub.large[file.oid]
        oid, size = hashlib.sha256(stored).hexdigest(), len(stored)
        if self.hub.trusting:
            oid, size = file.oid, file.size
        lfs = {"oid": oid, "size": size, "pointerSize": 130}
        return {"type": "file", "path": path, "oid": _git_sha1(oid.encode()), "size": size,
                "lfs": lfs}  # fmt: skip

    def _refs(self, _body: bytes, repo: str) -> None:
        def listed(kind: str, named: dict[str, str]) -> list[dict]:
            return [
                {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": sha}
                for name, sha in named.items()
            ]

        held = self.hub.repos[repo]
        self._json({"branches": listed("heads", held.branches), "converts": [],
                    "tags": listed("tags", held.tags)})  # fmt: skip

    def _branch(self, body: bytes, repo: str, command: str, name: str) -> None:
        held = self.hub.repos[repo]
        if command == "DELETE":
            there = held.branches.pop(name, None)
            return self._send(200, b"{}", {}) if there else self._no_revision()
        if name in held.branches:
            return self._send(409, b'{"error": "the branch is there"}', {})
        start = json.loads(body or b"{}").get("startingPoint", "main")
        held.branches[name] = held.commit_of(start) or ""
        return self._send(200, b"{}", {})

    def _tag(self, body: bytes, repo: str, _command: str, revision: str) -> None:
        held, name = self.hub.repos[repo], json.loads(body)["tag"]
        if name in held.tags:
            return self._send(409, b'{"error": "the tag is there"}', {})
        if (commit := held.commit_of(revision)) is None:
            return self._no_revision()
        held.tags[name] = commit
        return self._send(200, b"{}", {})

    def _info(self, _body: bytes, repo: str, revision: str | None = None) -> None:
        held = self.hub.repos[repo]
        if (sha := held.commit_of(revision or "main")) is None:
            return self._no_revision()
        siblings = [{"rfilename": path} for path in held.commits[sha]]
        return self._json({"id": repo, "modelId": repo, "sha": sha, "siblings": siblings,
                           "private": held.private, "tags": [], "downloads": 0,
                           "likes": 0})  # fmt: skip

    def _resolve(self, _body: bytes, repo: str, revision: str, path: str) -> None:
        commit = self.hub.repos[repo].commit_of(revision)
        file = self.hub.repos[repo].commits[commit].get(path) if commit else None
        if file is None or commit is None:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        data, status = self.hub.content(file), 200
        tag = {"ETag": f'"{self.hub.oid(file)}"', "X-Repo-Commit": commit}
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            begin, size = int(wanted[1]), len(data)
            if begin >= size:
                return self._send(416, b"", {"Content-Range": f"bytes */{size}"})
            end = min(int(wanted[2]) + 1, size) if wanted[2] else size
            tag["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
            data, status = data[begin:end], 206
        return self._send(status, data, tag)

    def _no_revision(self) -> None:
        self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})

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


_REFUSALS: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "error": (500, b"{}", {}),
    "race": (412, b'{"error": "the branch has moved"}', {}),
    "busy": (429, b'{"error": "too many"}', {"Retry-After": str(RETRY_AFTER_S)}),
    "forbidden": (403, b'{"error": "no"}', {"X-Error-Message": "you have no right to write here"}),
    "unauthorized": (
        401,
        b'{"error": "no"}',
        {"X-Error-Message": "Invalid credentials in Authorization header"},
    ),
}


def _git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
