"""A real S3 server (moto's) on loopback that breaks on demand.

Run as a program it serves until its standard input closes, and prints its address first.
"""

import logging
import re
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

HANG_S = 2.0
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass
class Trouble:
    """What to do with the next `times` requests whose "METHOD path?query" matches `pattern`.

    `error` (500), `lost` (done, but the answer is a 500), `hang` (longer than a client waits),
    `truncate` (half of the answer's body), `empty` (stored as 0 bytes, answered 200), `flip` (one
    byte of the body changed), `unconditional` (If-None-Match ignored).
    """

    pattern: str
    kind: str
    times: int = 1


@dataclass
class FlakyS3:
    """The server: `url` for AWS_ENDPOINT_URL, `troubles` to come, and `seen` requests."""

    url: str = ""
    troubles: list[Trouble] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    down: bool = False
    lock: Lock = field(default_factory=Lock)
    _application: Application | None = None
    _server: Any = None
    _thread: Thread | None = None

    def come(self, application: Application | None = None) -> None:
        """Listen: at any port the first time, and where it was, with what it had, when back."""
        self._application = application or self._application
        port = self._server.server_port if self._server else 0
        self._server = make_server("127.0.0.1", port, self._application, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Listen no more: connections are refused."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def reset(self) -> None:
        """End all troubles, forget what was seen, and begin with one empty bucket."""
        with self.lock:
            self.troubles, self.seen, self.down = [], [], False
        for method, path in (("POST", "/moto-api/reset"), ("PUT", "/bucket")):
            request = urllib.request.Request(self.url + path, method=method, data=b"")
            urllib.request.urlopen(request, timeout=10).close()
        self.seen.clear()

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
        with self.lock:
            return sum(bool(re.search(pattern, request)) for request in self.seen)


@contextmanager
def flaky_s3() -> Iterator[FlakyS3]:
    """Serve an empty S3 that has the bucket `bucket`."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    flaky = FlakyS3()
    flaky.come(_wrapped(DomainDispatcherApplication(create_backend_app), flaky))
    try:
        yield flaky
    finally:
        flaky.leave()


def _wrapped(moto: Application, flaky: FlakyS3) -> Application:
    one_at_a_time = Lock()  # S3 takes conditional writes one after the other; moto's threads do not

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}"
        kind = flaky.next_trouble(request)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if kind == "error":
            return _answer(start, 500)
        if kind == "hang":
            time.sleep(HANG_S)
            return _answer(start, 500)
        if kind == "unconditional":
            environ.pop("HTTP_IF_NONE_MATCH", None)
        if kind == "empty":
            body = b""
        if kind == "flip":
            body = bytes([body[0] ^ 1]) + body[1:]
        environ["wsgi.input"] = _Body(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        with one_at_a_time:
            answer: list[Any] = []
            data = b"".join(moto(environ, lambda *told: answer.extend(told)))
        if kind == "lost":
            return _answer(start, 500)
        start(*answer[:2])  # the length told stays, whatever comes
        return [data[: len(data) // 2]] if kind == "truncate" else [data]

    return application


def _answer(start: Callable[..., Any], status: int) -> Iterable[bytes]:
    body = b"<Error><Code>InternalError</Code><Message>not now</Message></Error>"
    start(f"{status} Internal", [("Content-Length", str(len(body))), ("Connection", "close")])
    return [body]


class _Body:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def read(self, size: int = -1) -> bytes:
        end = len(self.data) if size is None or size < 0 else self.at + size
        self.at, begin = min(end, len(self.data)), self.at
        return self.data[begin : self.at]

    def readline(self, size: int = -1) -> bytes:
        newline = self.data.find(b"\n", self.at)
        return self.read(len(self.data) - self.at if newline < 0 else newline + 1 - self.at)


if __name__ == "__main__":
    with flaky_s3() as served:
        served.reset()
        print(served.url, flush=True)
        sys.stdin.read()
