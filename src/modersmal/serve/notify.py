"""Tell systemd how the server stands: a unit of `Type=notify` has started when it answers."""

import os
import socket


def tell_systemd(state: str) -> None:
    """Send `state`, as in "READY=1", to who started this process, if they want to know."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # a name of the kernel's, and no file
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.sendto(state.encode(), address)
