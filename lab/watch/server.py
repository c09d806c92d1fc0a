"""How the page is served: reading only, on loopback unless told otherwise, with a token beyond it."""

import hmac
import ipaddress
import os
import secrets
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import flask
from dash import Dash
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server

from lab.watch.page import make_page
from lab.watch.watcher import Watcher

COOKIE = "lab-watch"
SHORTEST_TOKEN = 16  # characters
LARGEST_QUESTION = 65536  # bytes
MOST_CONNECTIONS = 100
WAKING = 0.2  # s between two looks whether to close
PATIENCE = 60  # s that a connection may be silent


class TokenError(ValueError):
    """A token that is missing, too short, or cannot be read or kept."""


def is_loopback(address: str) -> bool:
    """Tell whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def read_token(path: Path) -> str:
    """Return the token in a file.

    Raises
    ------
    TokenError
        If it cannot be read, or is too short to keep anybody out.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(f"the token in {path} cannot be read: {getattr(error, 'strerror', '') or error}") from error
    if len(token) < SHORTEST_TOKEN or not (token.isascii() and token.isprintable()):
        raise TokenError(f"{path} holds no token: it takes one line of at least {SHORTEST_TOKEN} ASCII characters")
    return token


def make_token(path: Path) -> str:
    """Return a new token, kept in a file that only its owner can read; an older file is replaced.

    Raises
    ------
    TokenError
        If the file cannot be written.
    """
    token = secrets.token_urlsafe(32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(f"{token}\n")
    except OSError as error:
        raise TokenError(f"the token cannot be kept in {path}: {error.strerror}") from error
    return token


def make_application(watcher: Watcher, *, token: str | None = None, loopback: bool = True) -> Dash:
    """Make the page and what guards it.

    Parameters
    ----------
    watcher : Watcher
        Works out what is shown.
    token : str, optional
        What a browser must know: it is given once, as ``?token=``, and then kept in a cookie.
    loopback : bool
        Whether only names of this machine are answered to, so that no other site's page can read this one.
    """
    app = make_page(lambda: watcher.view)
    server: Any = app.server
    server.config["MAX_CONTENT_LENGTH"] = LARGEST_QUESTION
    server.config["TRUSTED_HOSTS"] = ["localhost", "127.0.0.1", "[::1]", "::1"] if loopback else None
    policy = f"default-src 'self'; script-src 'self' {' '.join(app.csp_hashes())}; style-src 'self' 'unsafe-inline'; "
    policy += "img-src 'self' data: blob:; frame-ancestors 'none'; form-action 'none'; base-uri 'none'"

    @server.before_request
    def guard() -> Any:
        if flask.request.method not in ("GET", "HEAD"):
            return flask.Response("this page can only be read", 405, mimetype="text/plain")
        return _ask_for(token) if token is not None else None

    @server.after_request
    def harden(response: flask.Response) -> flask.Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        if not flask.request.path.startswith(("/_dash-component-suites/", "/assets/")):
            response.headers["Cache-Control"] = "no-store"
        return response

    return app


def _ask_for(token: str) -> flask.Response | None:
    """Let those in who know the token; take it out of the address at once."""
    given = flask.request.args.get("token")
    if given is not None and _same(given, token):
        response = flask.redirect("/")
        response.set_cookie(COOKIE, token, httponly=True, samesite="Strict")
        return response  # type: ignore[return-value]
    bearer = flask.request.headers.get("Authorization", "").removeprefix("Bearer ")
    if _same(flask.request.cookies.get(COOKIE, ""), token) or _same(bearer, token):
        return None
    return flask.Response("this page asks for its token: open the address that lab watch printed", 401)


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


class PageServer:
    """The page on a port.

    Parameters
    ----------
    watcher : Watcher
        Works out what is shown.
    address : str
        Address of this machine to listen at.
    port : int
        0 takes any that is free.
    token : str, optional
        Needed beyond loopback.

    Raises
    ------
    TokenError
        If other machines can reach the address and there is no token.
    OSError
        If the address cannot be listened at.
    """

    def __init__(self, watcher: Watcher, *, address: str = "127.0.0.1", port: int = 8377, token: str | None = None):
        if token is None and not is_loopback(address):
            raise TokenError(f"a page that other machines can reach, at {address}, needs a token")
        application = make_application(watcher, token=token, loopback=is_loopback(address))
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
        try:
            listening.bind((address, port))
        except (OSError, OverflowError) as error:
            listening.close()
            reason = getattr(error, "strerror", None) or error
            raise OSError(f"cannot listen at {address}, port {port}: {reason}") from error
        self.address, self.port = listening.getsockname()[:2]
        self._token = token
        self._closing = threading.Event()
        self._channels: dict[int, Any] = {}
        self._server = create_server(
            application.server,
            map=self._channels,
            sockets=[listening],
            threads=4,
            connection_limit=MOST_CONNECTIONS,
            channel_timeout=PATIENCE,
            cleanup_interval=10,
            max_request_body_size=LARGEST_QUESTION,
            ident=None,
            clear_untrusted_proxy_headers=True,
        )

    @property
    def url(self) -> str:
        """Where the page is; the token, if there is one, is in it."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}/" + (f"?{urlencode({'token': self._token})}" if self._token else "")

    def serve(self) -> None:
        """Serve until `close` is called by another thread, or Ctrl-C; then let go of the port."""
        try:
            while not self._closing.is_set():
                wasyncore.loop(timeout=WAKING, map=self._channels, count=1)
        finally:
            self._server.task_dispatcher.shutdown()
            for channel in [channel for channel in self._channels.values() if isinstance(channel, HTTPChannel)]:
                channel.handle_close()
            wasyncore.close_all(self._channels, ignore_all=True)

    def close(self) -> None:
        """Let `serve` come to its end."""
        self._closing.set()
