"""A Hub on this machine: enough of its API for `snapshot_download`, and ways to fail."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def local_hub(repos: dict[str, Path | int]) -> Iterator[tuple[str, list[str]]]:
    """Serve folders as Hub repositories; a number instead of a folder is a status to answer.

    Yields the endpoint, and a list that the paths of all requests are added to.
    """
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = self.path.split("?")[0].strip("/")
            seen.append(path)
            parts = path.removeprefix("api/models/").split("/")
            repo = repos.get("/".join(parts[:2]), 404)
            if isinstance(repo, int):
                code = {404: "RepoNotFound", 403: "GatedRepo"}.get(repo)
                self._send(repo, b"{}", {"X-Error-Code": code} if code else {}, with_body)
            elif path.startswith("api/models/"):
                files = _files(repo)
                tree = len(parts) > 2 and parts[2] == "tree"
                answer = files if tree else _info("/".join(parts[:2]), files)
                self._send(200, json.dumps(answer).encode(), {}, with_body)
            else:
                file = repo / "/".join(parts[4:])
                if not file.is_file():
                    self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, with_body)
                else:
                    data = file.read_bytes()
                    etag = f'"{hashlib.sha1(data).hexdigest()}"'
                    self._send(200, data, {"ETag": etag, "X-Repo-Commit": COMMIT}, with_body)

        def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _files(folder: Path) -> list[dict]:
    return [
        {
            "type": "file",
            "path": path.relative_to(folder).as_posix(),
            "oid": hashlib.sha1(path.read_bytes()).hexdigest(),
            "size": path.stat().st_size,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]


def _info(name: str, files: list[dict]) -> dict:
    siblings = [{"rfilename": file["path"], "size": file["size"]} for file in files]
    return {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "private": False,
            "tags": [], "downloads": 0, "likes": 0}  # fmt: skip
