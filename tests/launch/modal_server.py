"""A stand-in for Modal's server: it knows one secret or none, and takes what is deployed."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf.empty_pb2 import Empty
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream
from modal_proto import api_grpc, api_pb2


def _answering(name: str) -> Callable[..., Awaitable[None]]:
    async def answer(self: "Modal", stream: Stream[Any, Any]) -> None:
        request = await stream.recv_message()
        method = getattr(self, f"on_{name}", None)
        if method is None:
            raise GRPCError(Status.UNIMPLEMENTED, f"the stand-in does not know {name}")
        await stream.send_message(method(request))

    return answer


class _Service(api_grpc.ModalClientBase):
    """Answers each method of Modal's by `on_` and its name."""


for _name in api_grpc.ModalClientBase.__abstractmethods__:
    setattr(_Service, _name, _answering(_name))
_Service.__abstractmethods__ = frozenset()


class Modal(_Service):
    """`env` is where `modal` finds it; `functions` and `commands` are what it was given: functions
    by their names, and the steps of the image."""

    def __init__(self, secret: str, keys: set[str]) -> None:
        self.secret, self.keys = secret, keys
        self.env: dict[str, str] = {}
        self.functions: dict[str, Any] = {}
        self.commands: list[str] = []

    def on_ClientHello(self, request: Any) -> Any:
        return api_pb2.ClientHelloResponse()

    def on_AuthTokenGet(self, request: Any) -> Any:
        return api_pb2.AuthTokenGetResponse(token="e30.e30.none")

    def on_SecretGetOrCreate(self, request: Any) -> Any:
        if request.deployment_name != self.secret:
            raise GRPCError(Status.NOT_FOUND, f"Secret '{request.deployment_name}' not found")
        if missing := set(request.required_keys) - self.keys:
            raise GRPCError(Status.NOT_FOUND, f"Secret is missing keys: {sorted(missing)}")
        return api_pb2.SecretGetOrCreateResponse(secret_id="st-1")

    def on_EnvironmentGetOrCreate(self, request: Any) -> Any:
        settings = api_pb2.EnvironmentSettings(image_builder_version="2025.06")
        metadata = api_pb2.EnvironmentMetadata(name="main", settings=settings)
        return api_pb2.EnvironmentGetOrCreateResponse(environment_id="en-1", metadata=metadata)

    def on_AppGetByDeploymentName(self, request: Any) -> Any:
        return api_pb2.AppGetByDeploymentNameResponse()

    def on_AppCreate(self, request: Any) -> Any:
        return api_pb2.AppCreateResponse(app_id="ap-1")

    def on_AppHeartbeat(self, request: Any) -> Any:
        return Empty()

    def on_AppClientDisconnect(self, request: Any) -> Any:
        return Empty()

    def on_AppPublish(self, request: Any) -> Any:
        return api_pb2.AppPublishResponse(url="https://modal.example/app")

    def on_VolumeGetOrCreate(self, request: Any) -> Any:
        metadata = api_pb2.VolumeMetadata(name=request.deployment_name)
        return api_pb2.VolumeGetOrCreateResponse(volume_id="vo-1", metadata=metadata)

    def on_MountBatchedCheckExistence(self, request: Any) -> Any:
        return api_pb2.MountBatchedCheckExistenceResponse()  # nothing is missing

    def on_MountGetOrCreate(self, request: Any) -> Any:
        return api_pb2.MountGetOrCreateResponse(
            mount_id="mo-1", handle_metadata=api_pb2.MountHandleMetadata()
        )

    def on_ImageGetOrCreate(self, request: Any) -> Any:
        self.commands += request.image.dockerfile_commands
        return api_pb2.ImageGetOrCreateResponse(
            image_id=f"im-{len(self.commands)}",
            result=api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS),
            metadata=api_pb2.ImageMetadata(image_builder_version="2025.06"),
        )

    def on_FunctionPrecreate(self, request: Any) -> Any:
        name = request.function_name
        return api_pb2.FunctionPrecreateResponse(
            function_id=f"fu-{name}",
            handle_metadata=api_pb2.FunctionHandleMetadata(function_name=name),
        )

    def on_FunctionCreate(self, request: Any) -> Any:
        name = request.function.function_name
        self.functions[name] = request.function
        ranked = api_pb2.FunctionData.RankedFunction(rank=0, function=request.function)
        return api_pb2.FunctionCreateResponse(
            function_id=f"fu-{name}",
            function=request.function,
            function_data=api_pb2.FunctionData(ranked_functions=[ranked]),
            handle_metadata=api_pb2.FunctionHandleMetadata(function_name=name),
        )


@contextmanager
def modal_server(secret: str = "modersmal", keys: tuple[str, ...] = ()) -> Iterator[Modal]:
    """Run one, whose `secret` holds values for `keys`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    modal = Modal(secret, set(keys))

    async def start() -> tuple[Server, int]:
        server = Server([modal])
        await server.start("127.0.0.1", 0)
        assert server._server is not None
        return server, server._server.sockets[0].getsockname()[1]

    server, port = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    modal.env = {
        "MODAL_SERVER_URL": f"http://127.0.0.1:{port}",
        "MODAL_TOKEN_ID": "ak-1",
        "MODAL_TOKEN_SECRET": "as-1",
    }
    yield modal
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
