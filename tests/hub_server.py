"""A server that speaks what huggingface_hub wants of the Hub to read datasets, make repositories and commit to them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

HEAD = "a" * 40


@dataclass
class Hub:
    """What was asked of the server, and what it holds."""

    token: str
    url: str = ""
    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What each was made with."""
    commits: list[dict[str, bytes]] = field(default_factory=list)
    """The files of each commit by name."""
    datasets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Datasets to read: the files of each; those of the owner `private` want the token."""
    large: dict[str, bytes] = field(default_factory=dict)
    """What was uploaded beside a commit, by SHA-256."""
    asked: list[str] = field(default_factory=list)
    fails_at: str = ""
    """A piece of the path at which it answers with a fault."""
    fault: str = "out of order"
    """What it says then, before it repeats the key it was given."""


@contextmanager
def hub(token: str) -> Iterator[Hub]:
    """The server on loopback, for as long as it is wanted."""
    state = Hub(token)
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *arguments: _Handler(state, *arguments))
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, state: Hub, *arguments: Any) -> None:
        self.hub = state
        super().__init__(*arguments)

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.asked.append(f"PUT {self.path}")
        identity = self.path.rpartition("/")[2]
        assert hashlib.sha256(body).hexdigest() == identity
        self.hub.large[identity] = body
        self.answer({})

    def do_POST(self) -> None:
        body = (
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if "Content-Length" in self.headers
            else self.chunks()
        )
        self.hub.asked.append(f"POST {self.path}")
        if self.hub.fails_at and self.hub.fails_at in self.path:
            self.answer({"error": f"{self.hub.fault}, {self.headers['Authorization']}"}, 500)
            return
        if self.headers["Authorization"] != f"Bearer {self.hub.token}":
            self.answer({"error": "Invalid username or password."}, 401)
            return
        if self.path == "/api/repos/create":
            self.create(json.loads(body))
        elif self.path == "/api/validate-yaml":
            head = json.loads(body)["content"].split("---\n")[1]
            self.answer({"errors": [] if yaml.safe_load(head) else [{"message": "empty"}], "warnings": []})
        elif "/preupload/" in self.path:
            files = [
                {"path": one["path"], "uploadMode": "lfs" if one["path"].endswith(".parquet") else "regular",
                 "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]  # fmt: skip
            self.answer({"files": files})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**one, "authenticated": True, "actions": {"upload": {"href": f"{self.hub.url}/large/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            self.answer({"transfer": "basic", "objects": objects})
        elif "/commit/" in self.path:
            self.commit([json.loads(line) for line in body.splitlines()])
        else:
            self.answer({"error": "no such place"}, 404)

    def do_GET(self) -> None:
        read = re.fullmatch(r"(/api)?/datasets/([^/]+/[^/]+)(?:/(?:revision|resolve)/([^/]+)(?:/(.+))?)?", self.path)
        if read is None:
            return self.do_POST()
        self.hub.asked.append(f"{self.command} {self.path}")
        about, name, revision, file = read.groups()
        files = self.hub.datasets.get(name)
        allowed = not name.startswith("private/") or self.headers["Authorization"] == f"Bearer {self.hub.token}"
        if self.hub.fails_at and self.hub.fails_at in self.path:
            return self.answer({"error": f"{self.hub.fault}, {self.headers['Authorization']}"}, 403)
        if files is None or not allowed:
            return self.answer({"error": "Repository not found"}, 401, {"X-Error-Code": "RepoNotFound"})
        if revision not in {None, "main", HEAD}:
            return self.answer({"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"})
        if about:
            siblings = [{"rfilename": one} for one in files]
            return self.answer({"id": name, "sha": HEAD, "siblings": siblings, "tags": [], "private": False})
        body = files[file]
        headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": HEAD}
        return self.answer(body, 200, headers)

    do_HEAD = do_GET  # noqa: N815 - as http.server wants it

    def chunks(self) -> bytes:
        """A body that comes in pieces."""
        found = b""
        while self.headers.get("Transfer-Encoding") == "chunked" and (size := int(self.rfile.readline(), 16)):
            found += self.rfile.read(size)
            self.rfile.readline()
        return found

    def create(self, wanted: dict[str, Any]) -> None:
        owner = wanted.get("organization") or "somebody"
        name = f"{owner}/{wanted['name']}"
        url = f"{self.hub.url}/datasets/{name}"
        if name in self.hub.repositories:
            self.answer({"error": "You already created this dataset repo", "url": url}, 409)
            return
        self.hub.repositories[name] = wanted
        self.answer({"url": url, "name": name, "id": "1"})

    def commit(self, lines: list[dict[str, Any]]) -> None:
        files: dict[str, bytes] = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
        self.hub.commits.append(files)
        place = self.path.removeprefix("/api").partition("/commit/")[0]
        self.answer({"success": True, "commitOid": HEAD, "commitUrl": f"{self.hub.url}{place}/commit/{HEAD}"})
