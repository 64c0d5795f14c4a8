"""A small HTTP server for a WSGI application, with Python's own library."""

import signal
import socket
import socketserver
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from bills.read import Refused

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class Handler(WSGIRequestHandler):
    """Answer one request; forget a client that says nothing, or is gone."""

    timeout = 30  # seconds, for each read and write

    def handle(self) -> None:
        with suppress(TimeoutError, ConnectionError):
            super().handle()


class Server(socketserver.ThreadingMixIn, WSGIServer):
    """Answer each request in a thread of its own: a slow one keeps no other waiting."""

    daemon_threads = True  # the end of the program does not wait for a slow client

    @property
    def address(self) -> str:
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if self.address_family == socket.AF_INET6 else host
        return f"http://{shown!s}:{port}"

    def server_bind(self) -> None:
        """Bind without asking DNS for this machine's name, which can take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def serve_until_stopped(self) -> None:
        """Serve until Ctrl-C or SIGTERM, which end the program: with 130 or 143."""
        signal.signal(signal.SIGTERM, _stop)  # without it, a container waits, and then kills
        self.serve_forever()


def listen(application: "WSGIApplication", host: str, port: int) -> Server:
    """Return a server that listens already; raise `Refused` where it cannot.

    :param port: 0 for one that is free.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = type("Server", (Server,), {"address_family": family})
    try:
        server: Server = kind((host, port), Handler)
    except OSError as error:
        way = "choose another with --port or --host"
        raise Refused(f"cannot listen on {host}, port {port}: {error.strerror}; {way}") from error
    server.set_app(application)
    return server


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
