"""Mozilla Data Collective on this machine: its API as its own client calls it, and its storage."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

KEY = "a-key-of-the-platform"


@dataclass
class DataCollective:
    """Releases by id, each the bytes of an archive; `status` answers a download's first request.

    The connection breaks after each of `cuts` bytes of a body, one after another.
    """

    releases: dict[str, bytes]
    filename: str = "cv-corpus-99.0-sv-SE.tar.gz"
    details: dict[str, object] = field(default_factory=dict)
    status: int = 200
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    site: str = ""

    @property
    def api(self) -> str:
        return f"{self.site}/api"


@contextmanager
def serving(platform: DataCollective) -> Iterator[DataCollective]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(platform))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    platform.site = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield platform
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(platform: DataCollective) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            words = self.path.split("?")[0].strip("/").split("/")
            platform.seen.append(f"GET {'/'.join(words)} {self.headers.get('Range') or ''}".strip())
            archive = platform.releases.get(words[-1])
            if archive is None:
                self._json(404, {"error": "no such dataset"})
            elif words[0] == "storage":
                self._send_archive(archive)
            else:
                self._json(200, self._details(words[-1], archive))

        def do_POST(self) -> None:
            words = self.path.strip("/").split("/")
            platform.seen.append(f"POST {'/'.join(words)}")
            if self.headers.get("Authorization") != f"Bearer {KEY}":
                self._json(401, {"message": "unknown key"})
            elif platform.status != 200:
                self._json(platform.status, {"message": "because of something"})
            else:
                archive = platform.releases[words[-2]]
                about = {
                    "downloadUrl": f"{platform.site}/storage/{words[-2]}?signature=s3cret",
                    "sizeBytes": str(len(archive)),
                    "checksum": platform.details.get("checksum", _sha256(archive)),
                }
                self._json(200, about)

        def _details(self, id_: str, archive: bytes) -> dict[str, object]:
            return {
                "id": id_,
                "name": "Common Voice Scripted Speech 99.0 - Swedish",
                "filename": platform.filename,
                "sizeBytes": len(archive),
                "checksum": _sha256(archive),
                "licenseAbbreviation": "CC0-1.0",
                "datasetUrl": f"https://mozilladatacollective.com/datasets/{id_}",
            } | platform.details

        def _send_archive(self, archive: bytes) -> None:
            asked = self.headers.get("Range")
            first = 0
            if asked and platform.ranges:
                first = int(asked.removeprefix("bytes=").partition("-")[0])
                if first >= len(archive):
                    self._json(416, {})
                    return
            body = archive[first:]
            self.send_response(206 if first else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if platform.cuts:
                body = body[: platform.cuts.pop(0)]
            platform.sent.append(len(body))
            self.wfile.write(body)

        def _json(self, status: int, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
