"""A small Hugging Face hub on 127.0.0.1: the few addresses that downloads use, over real HTTP."""

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class SmallHub:
    """Serves folders as repositories; some gated, and one token refused."""

    def __init__(self, repositories: dict[str, Path], gated=(), refused_token="hf_refused"):
        self.repositories = repositories
        self.gated = set(gated)
        self.refused_token = refused_token
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.answer(self)

            do_HEAD = do_GET  # noqa: N815 - the name that http.server asks for

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, request):
        path = unquote(urlparse(request.path).path)
        self.asked.append(f"{request.command} {path}")
        address = re.match(
            r"(?:/api/models)?/([^/]+/[^/]+)(?:/(revision|tree|resolve)/([^/]+))?", path
        )
        if self.refused_token in (request.headers.get("Authorization") or ""):
            message = "Invalid credentials in Authorization header"
            return send(request, 401, headers={"X-Error-Message": message})
        if not address or address[1] not in self.repositories:
            return send(request, 404, headers={"X-Error-Code": "RepoNotFound"})
        if address[1] in self.gated:
            return send(
                request,
                403 if "Authorization" in request.headers else 401,
                headers={"X-Error-Code": "GatedRepo"},
            )
        folder = self.repositories[address[1]]
        files = {
            f.relative_to(folder).as_posix(): f for f in sorted(folder.rglob("*")) if f.is_file()
        }
        if address[2] == "resolve":
            return self.send_file(request, files.get(path[address.end() + 1 :]))
        if address[2] == "tree":
            rows = [
                {"type": "file", "path": name, "size": file.stat().st_size, "oid": etag(file)}
                for name, file in files.items()
            ]
            return send(request, 200, json.dumps(rows).encode())
        siblings = [{"rfilename": name, "size": f.stat().st_size} for name, f in files.items()]
        about = {
            "id": address[1],
            "sha": COMMIT,
            "siblings": siblings,
            "private": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
        }
        return send(request, 200, json.dumps(about).encode())

    def send_file(self, request, file):
        if file is None:
            return send(request, 404, headers={"X-Error-Code": "EntryNotFound"})
        headers = {"ETag": f'"{etag(file)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        return send(request, 200, file.read_bytes(), headers)


def etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


def send(request, status, body=b"", headers=None):
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
