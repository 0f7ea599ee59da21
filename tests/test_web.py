"""Pictures from real servers on this machine: kind ones, slow ones, endless ones and liars."""

import io
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

import svdkit as sk
from svdkit import web

SLOW = 30  # far beyond what any test waits


def png(colour=(200, 100, 50)):
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(stream, "PNG")
    return stream.getvalue()


class Pages(BaseHTTPRequestHandler):
    """Each path is a way to answer."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.requests.append((self.path, dict(self.headers)))
        name = self.path.partition("?")[0].strip("/").replace("-", "_").partition(".")[0]
        with suppress(OSError):  # the other side may have left
            getattr(self, name, self.missing)()

    def answer(self, status=200, body=b"", **headers):
        self.send_response(status)
        for header, value in ({"Content_Length": len(body)} | headers).items():
            if value is not None:
                self.send_header(header.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def missing(self):
        self.answer(404)

    def kite(self):
        self.answer(body=png(), Content_Type="image/png")

    def nameless(self):
        self.answer(body=png(), Content_Length=None)

    def chunked(self):
        data = png()
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
        self.protocol_version = "HTTP/1.1"
        self.answer(body=body, Content_Length=None, Transfer_Encoding="chunked")

    def forbidden(self):
        self.answer(403)

    def gone(self):
        self.answer(410)

    def broken(self):
        self.answer(503)

    def page(self):
        self.answer(body=b"hello", Content_Type="text/html; charset=utf-8")

    def hidden_page(self):
        self.answer(body=b"\n <!DOCTYPE HTML><title>Kites</title>", Content_Type="image/png")

    def text(self):
        self.answer(body=b"only words", Content_Type="text/plain")

    def nothing(self):
        self.answer(204)

    def endless(self):
        self.answer(Content_Length=None)
        while True:
            self.wfile.write(bytes(1 << 16))

    def boastful(self):
        self.answer(body=b"x", Content_Length=10**12)

    def cut(self):
        self.answer(body=png()[:50], Content_Length=len(png()))

    def modest(self):
        self.answer(body=png() + b"more", Content_Length=len(png()))

    def silent(self):
        self.server.over.wait(SLOW)

    def dribble(self):
        self.answer(Content_Length=None)
        while not self.server.over.wait(0.05):
            self.wfile.write(b"x")

    def dribbled_headers(self):
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
        while not self.server.over.wait(0.05):
            self.wfile.write(b"x")

    def nonsense(self):
        self.wfile.write(b"220 this is no web server\r\n\r\n")

    def hop(self):
        self.answer(302, Location="/kite.png")

    def loop(self):
        self.answer(302, Location="/loop")

    def to(self):
        self.answer(307, Location=self.path.partition("?")[2])


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.requests, server.over = [], threading.Event()
    server.daemon_threads = True
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def names(monkeypatch):
    """Let names lead where a test wants."""
    real, led = socket.getaddrinfo, {}

    def lookup(host, port, *others, **more):
        return real(led.get(host, host), port, *others, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return led


@pytest.mark.parametrize(
    "path", ["/kite.png", "/nameless", "/chunked", "/hop", "/modest", "/kite.png#top"]
)
def test_a_picture_comes_from_an_address(server, path):
    opened = sk.open_image(server.url + path, private=True)
    assert (opened.size, opened.getpixel((0, 0))) == ((40, 30), (200, 100, 50))


def test_an_address_may_be_written_in_any_case_with_blanks_around(server):
    assert web.fetch(f" {server.url.replace('http', 'HTTP')}/kite.png\n", private=True) == png()


def test_a_path_may_have_letters_of_any_language(server):
    with pytest.raises(FileNotFoundError, match="404"):
        sk.open_image(server.url + "/Drachen über Köln.png?größe=1", private=True)
    assert server.requests[0][0].startswith("/Drachen%20%C3%BCber")


def test_what_is_sent_says_svdkit_and_no_more(server):
    sk.open_image(server.url + "/kite.png", private=True)
    [(_, headers)] = server.requests
    assert headers["User-Agent"] == "svdkit"
    assert set(headers) == {"User-Agent", "Host", "Accept", "Accept-Encoding", "Connection"}


def test_a_login_is_sent_where_it_belongs_alone(server, names):
    names["elsewhere.example"] = "127.0.0.1"
    port = server.server_port
    login = f"http://ada:p%40ss@127.0.0.1:{port}"
    web.fetch(f"{login}/to?http://elsewhere.example:{port}/kite.png", private=True)
    first, second = (headers for _, headers in server.requests)
    assert first["Authorization"] == "Basic YWRhOnBAc3M="
    assert "Authorization" not in second


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("/no-such.png", FileNotFoundError, "answers 404: nothing is there"),
        ("/gone", FileNotFoundError, "answers 410"),
        ("/forbidden", PermissionError, "answers 403"),
        ("/broken", ConnectionError, "answers 503: try later"),
        ("/page", ValueError, "is a web page; open the picture itself and copy its address"),
        ("/hidden-page", ValueError, "is a web page; open the picture itself"),
        ("/text", ValueError, "is no picture that Pillow can read"),
        ("/nothing", ValueError, "is no picture that Pillow can read"),
        ("/boastful", ValueError, r"is too large \(1e\+06 MB\); 100 MB is the most"),
        ("/cut", ConnectionError, "broke off after 50 of"),
        ("/nonsense", ConnectionError, "cannot be reached: it breaks off, BadStatusLine"),
        ("/loop", ValueError, "leads on more than 5 times"),
        ("/to?file:///etc/passwd", ValueError, "leads on to file:///etc/passwd, which is no http"),
        ("/to?ftp://example.com/x", ValueError, "leads on to ftp://example.com/x, which"),
        ("/to?data:text/plain,x", ValueError, "which is no http"),
        ("/to?http://[bad", ValueError, "leads on to"),
    ],
)
def test_what_gives_no_picture_is_told(server, path, kind, said):
    with pytest.raises(kind, match=said):
        sk.open_image(server.url + path, private=True)


def test_what_never_ends_is_left_at_the_limit(server, monkeypatch):
    monkeypatch.setattr(web, "MAX_BYTES", 1_000_000)
    with pytest.raises(ValueError, match=r"is too large .*; 1 MB is the most"):
        sk.open_image(server.url + "/endless", private=True)


def test_a_silent_server_is_waited_for_only_so_long(server, monkeypatch):
    monkeypatch.setattr(web, "READ_SECONDS", 0.3)
    with pytest.raises(TimeoutError, match=r"did not answer for 0\.3 seconds"):
        sk.open_image(server.url + "/silent", private=True)


@pytest.mark.parametrize("path", ["/dribble", "/dribbled-headers", "/silent"])
def test_a_slow_server_gets_only_so_long_in_all_and_no_thread_stays(server, monkeypatch, path):
    monkeypatch.setattr(web, "MAX_SECONDS", 0.5)
    with pytest.raises(TimeoutError, match=r"is not here after 0\.5 seconds"):
        sk.open_image(server.url + path, private=True)
    mine = [thread for thread in threading.enumerate() if thread.name == "svdkit-fetch"]
    for thread in mine:
        thread.join(5)
    assert not any(thread.is_alive() for thread in mine)


def test_a_slow_lookup_of_a_name_counts_too(monkeypatch):
    monkeypatch.setattr(web, "MAX_SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(1) or [])
    with pytest.raises(TimeoutError, match="is not here after"):
        web.fetch("http://slow.example/kite.png")


@pytest.mark.parametrize("address", ["http://", "http:///kite.png", "http://[bad", "http://a:b/"])
def test_what_is_only_half_an_address_is_told(address):
    with pytest.raises(ValueError, match="is no address; one is like https://example"):
        sk.open_image(address)


def test_nobody_there_is_told(server, names):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConnectionError, match="cannot be reached: Connection refused"):
        web.fetch(f"http://127.0.0.1:{port}/kite.png", private=True)
    names["no.example"] = "no.such.host.invalid"
    with pytest.raises(ConnectionError, match="there is no such host, or no network"):
        web.fetch("http://no.example/kite.png")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "[::1]",
        "[::]",
        "[fd00::1]",
        "[fe80::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "localhost",
        "LOCALHOST.",
        "app.localhost",
        "metadata.google.internal",
    ],
)
@pytest.mark.parametrize("proxied", [False, True])
def test_what_says_itself_that_it_is_private_is_refused_before_any_connection(
    host, proxied, monkeypatch
):
    if proxied:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(socket, "create_connection", None)
    with pytest.raises(ValueError, match=r"private network.*open_image\(address, private=True\)"):
        sk.open_image(f"http://{host}/kite.png")


@pytest.mark.parametrize("ip", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8"])
def test_what_is_public_is_not_refused(ip):
    assert web._is_public(ip)


def test_a_name_that_leads_home_is_refused_before_a_byte_is_sent(server, names):
    names["kite.example"] = "127.0.0.1"
    with pytest.raises(ValueError, match=r"kite\.example.* private network \(127\.0\.0\.1\)"):
        sk.open_image(f"http://kite.example:{server.server_port}/kite.png")
    assert server.requests == []
    sk.open_image(f"http://kite.example:{server.server_port}/kite.png", private=True)


def test_https_is_refused_before_its_greeting(names):
    names["kite.example"] = "127.0.0.1"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ValueError, match="private network"):
            sk.open_image(f"https://kite.example:{port}/kite.png")
        listener.settimeout(5)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            assert connection.recv(1) == b""


@pytest.mark.parametrize("target", ["kite.example", "127.0.0.1"])
def test_a_redirect_into_a_private_network_is_refused(server, names, monkeypatch, target):
    # the first hop counts as public here, so that only the second is in question
    names |= {"public.example": "127.0.0.1", "kite.example": "127.0.0.1"}
    real, seen = web._is_public, []

    def public_at_first(host):
        answer = real(host)
        seen.append(host)
        return answer or len(seen) == 1

    # literal names are looked at too, and are not what this is about
    monkeypatch.setattr(web, "_is_literally_private", lambda host: False)
    monkeypatch.setattr(web, "_is_public", public_at_first)
    port = server.server_port
    with pytest.raises(ValueError, match="private network"):
        web.fetch(f"http://public.example:{port}/to?http://{target}:{port}/kite.png")
    assert [path.partition("?")[0] for path, _ in server.requests] == ["/to"]


def test_through_a_proxy_the_proxy_may_be_at_home(server, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://me:word@127.0.0.1:{server.server_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr(Pages, "missing", Pages.kite)
    assert web.fetch("http://kite.example/kite.png?a=b") == png()
    [(path, headers)] = server.requests
    assert path == "http://kite.example/kite.png?a=b"
    assert headers["Proxy-Authorization"].startswith("Basic ")


def test_a_tunnel_through_a_proxy_at_home_is_allowed(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        asked = []

        def refuse():
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(1000))
                connection.sendall(b"HTTP/1.0 502 Bad Gateway\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(ConnectionError, match="cannot be reached"):
            web.fetch("https://kite.example/kite.png")
        thread.join()
    assert asked[0].startswith(b"CONNECT kite.example:443")


@pytest.fixture
def secure(server, names, tmp_path):
    """Let the server speak https as kite.example, with a certificate of its own."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=kite.example"]
    make += ["-addext", "subjectAltName=DNS:kite.example", "-keyout", key, "-out", certificate]
    subprocess.run(make, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None
    names["kite.example"] = "127.0.0.1"
    server.certificate, server.url = certificate, f"https://kite.example:{server.server_port}"
    return server


def test_a_picture_comes_over_https_and_only_there(secure, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.certificate))
    assert web.fetch(secure.url + "/kite.png", private=True) == png()
    monkeypatch.setattr(web, "MAX_SECONDS", 0.5)
    with pytest.raises(TimeoutError, match="is not here after"):
        web.fetch(secure.url + "/dribble", private=True)
    with pytest.raises(ValueError, match="private network"):
        web.fetch(secure.url + "/kite.png")


def test_a_certificate_that_nobody_vouches_for_is_refused(secure):
    with pytest.raises(ConnectionError, match="its certificate or encryption is wrong"):
        web.fetch(secure.url + "/kite.png", private=True)


SECRETS = ("ada", "s3cret", "signature", "c2lnbmVk")


@pytest.mark.parametrize(
    "path",
    ["/missing", "/page", "/cut", "/text", "/nonsense", "/to?file:///x?a=1", "/kite\x00.png"],
)
def test_no_message_tells_a_login_or_a_key(server, path):
    base = server.url.replace("http://", "http://ada:s3cret@")
    mark = "&" if "?" in path else "?"
    with pytest.raises((OSError, ValueError)) as error:
        sk.open_image(f"{base}{path}{mark}signature=c2lnbmVk", private=True)
    told = []
    link = error.value
    while link is not None:
        told.append(str(link))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    assert not any(secret in text for secret in SECRETS for text in told)
    assert "127.0.0.1" in told[0]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://example.com:8443/a/b.png?k=1#x", "https://example.com:8443/a/b.png"),
        ("https://ada:s3cret@example.com/b.png", "https://example.com/b.png"),
        ("https://ada:s3/cret@example.com/b.png", "https://…"),
        ("https://[bad/b.png?signature=1", "https://…"),
        ("s3://key:word@bucket/kite.png", "s3://bucket/kite.png"),
    ],
)
def test_an_address_is_shown_without_login_and_query(address, shown):
    assert web.shown_address(address) == shown


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://example.com/x", "s3://b/x.png"])
def test_other_kinds_of_address_are_told(address):
    with pytest.raises(ValueError, match="is no address that svdkit opens; http and https are"):
        sk.open_image(address)
    with pytest.raises(ValueError, match="is no http:// or https:// address"):
        web.fetch(address)


def test_an_animated_picture_and_its_time_come_from_an_address(server, monkeypatch, capsys):
    stream = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], duration=500)
    monkeypatch.setattr(Pages, "missing", lambda page: page.answer(body=stream.getvalue()))
    address = f"{server.url}/moving.gif?signature=c2lnbmVk"
    assert sk.open_image(address, private=True).getpixel((4, 4)) == (255, 0, 0)
    assert capsys.readouterr().out == (
        f"{server.url}/moving.gif is animated (3 frames): its first is taken; "
        "open_image(address, at=0.75) takes another.\n"
    )
    assert sk.open_image(address, private=True, at=0.75).getpixel((4, 4)) == (0, 255, 0)
