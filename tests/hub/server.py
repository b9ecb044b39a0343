"""A hub on loopback: repositories in memory, by the endpoints that huggingface_hub asks.

Files above `LFS_BYTES` are named by their SHA-256 (`X-Linked-ETag`), smaller ones by Git's SHA-1, as on the
real hub.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.serving import QuietHandler

LFS_BYTES = 1024
_CHUNK = 4096
_API = re.compile(
    r"/api/(?P<kind>model|dataset)s/(?P<repo>[^/]+/[^/]+)/(?P<what>revision|tree)/(?P<rev>[^/]+)"
)
_FILE = re.compile(r"/(?P<data>datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)")


@dataclass
class Repository:
    """Commits and branches of one repository."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Store a state of all files; the branch moves to it."""
        text = repr((sorted(files.items()), len(self.commits)))
        name = hashlib.sha1(text.encode()).hexdigest()
        self.commits[name], self.branches[branch] = files, name
        return name


class Hub(ThreadingHTTPServer):
    """`HF_ENDPOINT` of tests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.token = "hf_token-of-the-test"
        """Opens gated repositories."""
        self.sent: Counter[str] = Counter()
        """Path in a repository -> how often its bytes were asked for."""
        self.delay_s = 0.0
        """Before every chunk of a file."""
        self.damaged: set[str] = set()
        """Files that arrive with another byte, once each."""
        self.sizes: dict[str, int] = {}
        """Sizes that listings name in place of the true ones."""
        self.cut: set[str] = set()
        """Files whose bytes stop half-way, once each."""
        self.deaf: set[str] = set()
        """Requests that are answered by 503: `revision`, `tree`."""
        self.away = False
        """Whether every request is answered by 503."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def repository(self, kind: str, name: str) -> Repository:
        return self.repositories.setdefault((kind, name), Repository())


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _blob_of(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


class _Handler(QuietHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        asked = _API.fullmatch(path)
        if self.server.away or (asked and asked["what"] in self.server.deaf):
            self.send(503, b"")
        elif asked:
            if found := self._state(asked["kind"], asked["repo"], unquote(asked["rev"])):
                self.send(200, _answer(asked["what"], asked["repo"], *found, self.server.sizes))
        elif asked := _FILE.fullmatch(path):
            kind = "dataset" if asked["data"] else "model"
            if found := self._state(kind, asked["repo"], unquote(asked["rev"])):
                self._file(unquote(asked["path"]), *found)
        else:
            self._refuse(404, "EntryNotFound")

    def _state(self, kind: str, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        repository = self.server.repositories.get((kind, name))
        if repository is None:
            return self._refuse(404, "RepoNotFound")
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            return self._refuse(404, "RevisionNotFound")
        known = self.headers.get("Authorization") == f"Bearer {self.server.token}"
        # The real hub tells of a gated repository to everybody, and keeps its files.
        if repository.gated and not known and "/resolve/" in self.path:
            return self._refuse(403, "GatedRepo")
        return commit, repository.commits[commit]

    def _refuse(self, status: int, code: str) -> None:
        self.send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _file(self, path: str, commit: str, files: dict[str, bytes]) -> None:
        if path not in files:
            self._refuse(404, "EntryNotFound")
            return
        data, large = files[path], len(files[path]) > LFS_BYTES
        tag = sha256_of(data) if large else _blob_of(data)
        self.send_response(200)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{tag}"', "Content-Length": str(len(data))}
        headers |= {"X-Linked-ETag": f'"{tag}"', "X-Linked-Size": str(len(data))} if large else {}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.server.sent[path] += 1
        if path in self.server.damaged:
            self.server.damaged.discard(path)
            data = bytes([data[0] ^ 1]) + data[1:]
        if path in self.server.cut:
            self.server.cut.discard(path)
            data = data[: len(data) // 2]
            self.close_connection = True
        for start in range(0, len(data), _CHUNK):
            time.sleep(self.server.delay_s)
            try:
                self.wfile.write(data[start : start + _CHUNK])
            except OSError:  # the client was killed
                self.close_connection = True
                return

    def send(self, status: int, body: Any, headers: Any = None) -> None:
        super().send(status, b"" if self.command == "HEAD" else body, headers)


def _answer(what: str, repo: str, commit: str, files: dict[str, bytes], sizes: dict[str, int]) -> Any:
    if what == "revision":
        shown = [{"rfilename": name} for name in sorted(files)]
        return {"id": repo, "sha": commit, "private": False, "disabled": False, "downloads": 0, "likes": 0,
                "tags": [], "siblings": shown}  # fmt: skip
    rows = []
    for name, data in sorted(files.items()):
        row = {"type": "file", "path": name, "size": sizes.get(name, len(data)), "oid": _blob_of(data)}
        if len(data) > LFS_BYTES:
            row["lfs"] = {"oid": sha256_of(data), "size": len(data), "pointerSize": 134}
        rows.append(row)
    return rows
