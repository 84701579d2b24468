"""Whether an address is free, and who has it if not."""

import errno
import socket

import psutil

from retrieval_core.errors import ServiceError


def chosen_port(host: str, port: int) -> int:
    """The port itself, or for 0 one that is free now.

    Raises:
        ServiceError: the host is not of this machine.
    """
    if port:
        return port
    with _bound(host, 0, "--host") as listener:
        return int(listener.getsockname()[1])


def check_port(host: str, port: int, option: str) -> None:
    """Fail before anything starts where a service could not listen.

    Args:
        host: name or address to listen on.
        port: to listen on.
        option: of the command line that chooses another.

    Raises:
        ServiceError: the port is taken or not allowed, or the host is not of this machine.
    """
    _bound(host, port, option).close()


def _bound(host: str, port: int, option: str) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ServiceError(_explain(error, host, port, option)) from None
    return listener


def _explain(error: OSError, host: str, port: int, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} is in use{_holder(port)}: end that, or choose another port with {option}"
        )
    if error.errno == errno.EACCES:
        return f"port {port} is reserved for the system: choose one above 1023 with {option}"
    return f"cannot listen on {host!r} (--host): {error.strerror or error}"


def _holder(port: int) -> str:
    """By whom, as far as this user may know."""
    try:
        connections = psutil.net_connections(kind="tcp")
        pid = next(
            c.pid
            for c in connections
            if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port and c.pid
        )
        process = psutil.Process(pid)
        return f" by process {pid} ({' '.join(process.cmdline()[:4]) or process.name()})"
    except (psutil.Error, StopIteration):
        return " by another program"
