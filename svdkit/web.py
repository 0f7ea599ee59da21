"""The bytes behind a web address, with bounds on size, time, redirects and where they lead."""

import base64
import http.client
import ipaddress
import socket
import ssl
import string
import threading
import urllib.error
import urllib.request
from contextlib import closing, suppress
from functools import partial
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from .kinds import looks_like_a_page

MAX_BYTES = 100_000_000
MAX_SECONDS = 60  # in all
READ_SECONDS = 10  # for a connection, and for each wait on an answer
MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
LOCAL_NAMES = ("localhost", "local", "internal")  # the last parts of names that mean home
NAT64 = ipaddress.ip_network("64:ff9b::/96")
ANSWERS = {  # what the statuses that people meet mean, and what to do
    401: (PermissionError, "it wants a login; save the picture in a browser and give its path"),
    403: (
        PermissionError,
        "it refuses, or the link has run out; save it in a browser",
    ),
    404: (FileNotFoundError, "nothing is there; look at the address in a browser"),
    410: (FileNotFoundError, "it is there no more; look for another copy"),
}


def is_address(text: Any) -> bool:
    """Tell whether this is a web address.

    >>> is_address("HTTPS://example.com/kite.jpg"), is_address("kite.jpg")
    (True, False)
    """
    return isinstance(text, str) and text.strip()[:8].lower().startswith(("http://", "https://"))


def shown_address(address: str) -> str:
    """Write an address for others to read: no login, and no query, which is often a key.

    >>> shown_address("https://ada:secret@example.com/kite.jpg?signature=c2VjcmV0")
    'https://example.com/kite.jpg'
    """
    try:
        parts = urlsplit(address.strip())
        _ = parts.port  # a login with a slash in it ends up as a wrong port, and half in the path
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))[:200]
    except ValueError:
        return f"{address.strip().partition(':')[0]}://…"


def fetch(address: str, *, private: bool = False) -> bytes:
    """Fetch what is at an http or https address; private networks are for `private=True` only.

    >>> fetch("http://127.0.0.1/kite.jpg")
    Traceback (most recent call last):
    ValueError: http://127.0.0.1/kite.jpg is in a private network (127.0.0.1), where a link from \
elsewhere has no business. If you trust it: open_image(address, private=True).
    """
    if not is_address(address):
        raise ValueError(f"{shown_address(str(address))} is no http:// or https:// address.")
    visit = _Visit(address, private)
    # in a thread, so that nothing, neither names nor drops of bytes, takes longer than all is given
    thread = threading.Thread(target=visit.run, name="svdkit-fetch", daemon=True)
    thread.start()
    try:
        thread.join(MAX_SECONDS)
        late = thread.is_alive()
    finally:
        visit.stop()
    if late:
        raise TimeoutError(
            f"{shown_address(address)} is not here after {MAX_SECONDS:g} seconds; save the picture "
            "and give its path."
        )
    if visit.error is not None:
        raise visit.error
    return visit.data


class _Visit:
    """One fetch. Its errors hide what caused them: http.client's quote queries, and so keys."""

    def __init__(self, address: str, private: bool):
        self.address, self.private = address.strip(), private
        self.data, self.error = b"", None
        self.stopped = threading.Event()
        self.sockets: list[socket.socket] = []

    def run(self) -> None:
        try:
            self.data = self._followed(self.address)
        except Exception as error:
            self.error = error

    def stop(self) -> None:
        """Wake the thread from any wait, and make it end."""
        self.stopped.set()
        for connection in self.sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def met(self, connection: socket.socket, *, through_proxy: bool) -> None:
        """Look at who answers: the address that a name led to, whatever it led to before."""
        if self.stopped.is_set():
            raise TimeoutError
        self.sockets.append(connection.dup())  # the same connection, also when TLS wraps it
        peer = connection.getpeername()[0]
        if not (through_proxy or self.private or _is_public(peer)):
            raise _PrivatePeerError(peer)

    def _followed(self, address: str) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            where = shown_address(address)
            with closing(self._answer(address, where)) as answer:
                target = answer.headers.get("Location") if answer.status in REDIRECTS else None
                if target is None:
                    return self._body(answer, where)
            try:
                address = urljoin(address, target)
            except ValueError:
                address = ""
            if not is_address(address):
                raise ValueError(
                    f"{where} leads on to {shown_address(address)}, which is no http:// or "
                    "https:// address; open the picture in a browser and save it."
                )
        raise ValueError(
            f"{shown_address(self.address)} leads on more than {MAX_REDIRECTS} times; open it in a "
            "browser and copy the address that it ends at."
        )

    def _answer(self, address: str, where: str) -> Any:
        try:
            parts = urlsplit(address)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host:
            raise ValueError(f"{where} is no address; one is like https://example.com/kite.jpg.")
        # Through a proxy the peer is the proxy, and names are looked up there: what can be refused
        # is what says itself that it is at home. It saves a connection elsewhere, too.
        if not self.private and _is_literally_private(host):
            raise _refusal(where, host)
        path = quote(parts.path, safe=string.punctuation)
        query = quote(parts.query, safe=string.punctuation)
        login, _, place = parts.netloc.rpartition("@")
        request = urllib.request.Request(urlunsplit((parts.scheme, place, path, query, "")))
        if login:
            word = base64.b64encode(unquote(login).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {word}")
        opener = urllib.request.OpenerDirector()  # with no handler for files, ftp or cookies
        opener.addheaders = [("User-Agent", "svdkit"), ("Accept", "*/*")]
        proxies, unknown = urllib.request.ProxyHandler(), urllib.request.UnknownHandler()
        for handler in (proxies, unknown, _Handler(self)):
            opener.add_handler(handler)
        try:
            return opener.open(request, timeout=READ_SECONDS)
        except _PrivatePeerError as error:
            raise _refusal(where, str(error)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _told(error, where) from None

    def _body(self, answer: Any, where: str) -> bytes:
        if not 200 <= answer.status < 300:
            cure = "try later" if answer.status in (429, *range(500, 600)) else "look in a browser"
            kind, meaning = ANSWERS.get(answer.status, (ConnectionError, cure))
            raise kind(f"{where} answers {answer.status}: {meaning}.")
        if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise _page(where)
        length = answer.headers.get("Content-Length", "")
        length = int(length) if length.isdecimal() and len(length) < 20 else None
        size, pieces = 0, []
        try:
            while (length or 0) <= MAX_BYTES >= size and (piece := answer.read(1 << 16)):
                size += len(piece)
                pieces.append(piece)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _told(error, where) from None
        if max(size, length or 0) > MAX_BYTES:
            much = f"{max(size, length or 0) / 1e6:.3g} MB" if length else "endless, it seems"
            raise ValueError(
                f"{where} is too large ({much}); {MAX_BYTES / 1e6:g} MB is the most. Save it and "
                "give its path."
            )
        if size < (length or 0):
            raise ConnectionError(f"{where} broke off after {size} of {length} bytes; try again.")
        if looks_like_a_page(data := b"".join(pieces)):
            raise _page(where)
        return data


class _PrivatePeerError(Exception):
    """The connection ended up in a private network."""


class _Plain(http.client.HTTPConnection):
    """A connection that looks at its peer before it sends a byte."""

    def __init__(self, *args: Any, visit: _Visit, through_proxy: bool, **others: Any):
        super().__init__(*args, **others)
        self.visit, self.through_proxy = visit, through_proxy
        dial = self._create_connection

        def dial_and_look(*where: Any) -> socket.socket:
            # here, and not after connect(), in which TLS already sends its greeting
            connection = dial(*where)
            try:
                visit.met(connection, through_proxy=through_proxy)
            except BaseException:
                connection.close()
                raise
            return connection

        self._create_connection = dial_and_look


class _Secure(_Plain, http.client.HTTPSConnection):
    """The same for https: TLS begins only after the look."""


class _Handler(urllib.request.HTTPHandler):
    """Open http and https with the connections above, and answer every status as it is."""

    def __init__(self, visit: _Visit):
        super().__init__()
        self.visit = visit

    def http_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(self._connection(_Plain, request), request)

    def https_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(self._connection(_Secure, request), request)

    https_request = urllib.request.HTTPHandler.http_request

    def _connection(self, kind: type, request: urllib.request.Request) -> Any:
        through_proxy = request.host != urlsplit(request.full_url).netloc
        return partial(kind, visit=self.visit, through_proxy=through_proxy)


def _is_public(host: str) -> bool:
    ip: Any = ipaddress.ip_address(host)
    if ip.version == 6:  # an IPv4 address may be inside
        in_nat64 = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else None
        ip = ip.ipv4_mapped or ip.sixtofour or in_nat64 or ip
    return ip.is_global and not ip.is_multicast


def _is_literally_private(host: str) -> bool:
    host = host.rstrip(".").lower()
    try:
        return not _is_public(host)
    except ValueError:
        pass
    try:  # 127.1 and 0x7f000001 are addresses as well, of old
        return not _is_public(socket.inet_ntoa(socket.inet_aton(host)))
    except (OSError, ValueError):
        return host.rpartition(".")[2] in LOCAL_NAMES


def _refusal(where: str, peer: str) -> ValueError:
    return ValueError(
        f"{where} is in a private network ({peer}), where a link from elsewhere has no business. "
        "If you trust it: open_image(address, private=True)."
    )


def _page(where: str) -> ValueError:
    return ValueError(f"{where} is a web page; open the picture itself and copy its address.")


def _told(error: Exception, where: str) -> OSError:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return TimeoutError(f"{where} did not answer for {READ_SECONDS:g} seconds; try again.")
    if isinstance(reason, ssl.SSLError):
        why = "its certificate or encryption is wrong"
    elif isinstance(reason, socket.gaierror):
        why = "there is no such host, or no network"
    else:  # never the text of http.client's errors, which quotes the address
        why = getattr(reason, "strerror", None) or f"it breaks off, {type(reason).__name__}"
    return ConnectionError(f"{where} cannot be reached: {why}. Check the address and try again.")
