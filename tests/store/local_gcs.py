"""A Google Cloud Storage on this machine: only what gcsfs asks of it for a store."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class LocalGcs:
    """Objects by key, in one bucket; `damage_next` flips a bit of the next one that is stored."""

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    damage_next: bool = False
    lock: Lock = field(default_factory=Lock)


@contextmanager
def local_gcs() -> Iterator[LocalGcs]:
    gcs = LocalGcs()
    handler = type("Handler", (_Handler,), {"gcs": gcs, "begun": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    gcs.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield gcs
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    gcs: LocalGcs
    begun: dict[str, tuple[str, bool, bytearray]]

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_DELETE = do_GET

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.gcs.seen.append(f"{self.command} {self.path}")
        found = re.fullmatch(r"/(upload/|download/)?storage/v1/b/([^/]+)/o(?:/(.*))?", parts.path)
        if not found:
            return self._json(404, {"error": {"message": "no such route"}})
        kind, _, key = found[1] or "", found[2], unquote(found[3] or "")
        if kind == "upload/":
            return self._upload(body, query)
        if not key:
            return self._list(query)
        if key not in self.gcs.objects:
            return self._json(404, {"error": {"message": "No such object"}})
        if self.command == "DELETE":
            del self.gcs.objects[key]
            return self._send(204, b"")
        if kind == "download/" or query.get("alt") == "media":
            return self._media(self.gcs.objects[key])
        return self._json(200, _described(key, self.gcs.objects[key]))

    def _list(self, query: dict[str, str]) -> None:
        prefix = query.get("prefix", "")
        inside = sorted(key for key in self.gcs.objects if key.startswith(prefix))
        items = [_described(key, self.gcs.objects[key]) for key in inside]
        self._json(200, {"items": items} if items else {})

    def _media(self, data: bytes) -> None:
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            end = int(wanted[2]) + 1 if wanted[2] else len(data)
            return self._send(206, data[int(wanted[1]) : end])
        return self._send(200, data)

    def _upload(self, body: bytes, query: dict[str, str]) -> None:
        if query["uploadType"] == "multipart":
            boundary = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])[1].encode()
            _, described, media, _ = body.split(b"--" + boundary)
            key = json.loads(described.split(b"\n\n", 1)[1])["name"]
            data = media.split(b"\n\n", 1)[1].removesuffix(b"\n")
            return self._store(key, data, "ifGenerationMatch" in query)
        if "upload_id" not in query:
            name = f"{len(self.begun)}"
            self.begun[name] = (json.loads(body)["name"], "ifGenerationMatch" in query, bytearray())
            path = self.path.partition("?")[0]
            where = f"{self.gcs.url}{path}?uploadType=resumable&upload_id={name}"
            return self._send(200, b"", {"Location": where})
        key, exclusive, data = self.begun[query["upload_id"]]
        data += body
        if re.fullmatch(r"bytes .*/\*", self.headers["Content-Range"]) or len(data) < int(
            self.headers["Content-Range"].rpartition("/")[2]
        ):
            return self._send(308, b"", {"Range": f"bytes=0-{len(data) - 1}"})
        return self._store(key, bytes(data), exclusive)

    def _store(self, key: str, data: bytes, exclusive: bool) -> None:
        with self.gcs.lock:
            if exclusive and key in self.gcs.objects:
                return self._json(412, {"error": {"message": "conditionNotMet"}})
            if self.gcs.damage_next:
                self.gcs.damage_next = False
                data = bytes([data[0] ^ 1]) + data[1:]
            self.gcs.objects[key] = data
        return self._json(200, _described(key, data))

    def _json(self, status: int, answer: object) -> None:
        self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def _described(key: str, data: bytes) -> dict[str, object]:
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    return {"kind": "storage#object", "name": key, "bucket": "bucket", "size": str(len(data)),
            "md5Hash": md5, "generation": "1", "etag": md5, "timeCreated": "2026-01-01T00:00:00Z",
            "updated": "2026-01-01T00:00:00Z", "contentType": "x"}  # fmt: skip
