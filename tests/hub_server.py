"""A small hub on this machine: it serves repositories and takes uploads, as huggingface_hub asks.

It speaks what the client of huggingface_hub, transformers and datasets needs of the hub's protocol,
with the status codes and ``X-Error-Code`` headers that the hub answers with. Every file is an
ordinary one: nothing is stored by LFS or Xet.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

#: Tokens that the hub knows, and whether each may write. No other one is valid.
READER, WRITER = "hf_reader", "hf_writer"
TOKENS = {READER: ("reader", False), WRITER: ("some", True)}


@dataclass
class Repository:
    """Files of each commit, and which commit a branch or tag stands for."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    readers: tuple[str, ...] | None = None
    private: bool = False

    def commit(self, files: dict[str, bytes], ref: str = "main") -> str:
        """Put files on top of a branch; give the commit."""
        whole = {**self.commits.get(self.refs.get(ref, ""), {}), **files}
        named = json.dumps([self.refs.get(ref), sorted((p, blob(c)) for p, c in whole.items())])
        sha = hashlib.sha1(named.encode()).hexdigest()
        self.commits[sha], self.refs[ref] = whole, sha
        return sha


def blob(content: bytes) -> str:
    """The id that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


class HubServer:
    """Repositories by kind (``model``, ``dataset``) and id, and every request that came."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.broken: int | None = None
        self.address = ""

    def put(
        self,
        kind: str,
        name: str,
        content: Path | dict[str, bytes],
        ref: str = "main",
        readers: tuple[str, ...] | None = None,
    ) -> str:
        """Make or continue a repository from a folder or files; give the commit.

        ``readers``: it is gated, and only these tokens have accepted its licence.
        """
        own = self.repositories.setdefault((kind, name), Repository())
        own.readers = readers if readers is not None else own.readers
        return own.commit(files_in(content) if isinstance(content, Path) else content, ref)

    def asked(self, words: str = "") -> list[str]:
        """The requests so far whose path holds these words."""
        return [f"{method} {path}" for method, path, _ in self.requests if words in path]


class _RefusalError(Exception):
    def __init__(self, status: int, code: str = "", message: str = "", **headers: str) -> None:
        self.status, self.code, self.message = status, code, message or code
        self.headers = headers


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, status: int, content: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def _json(self, value: object, status: int = 200, **headers: str) -> None:
            headers["Content_Type"] = "application/json"
            self._answer(status, json.dumps(value).encode(), **headers)

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.body = self.rfile.read(length) if length else b""
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    self.body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            parts = urlsplit(self.path)
            self.token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            hub.requests.append((self.command, unquote(parts.path), self.token))
            try:
                if hub.broken:
                    raise _RefusalError(hub.broken, "", "it is broken")
                if self.token and self.token not in TOKENS:
                    raise _RefusalError(401, "", "Invalid credentials in Authorization header")
                self._route(unquote(parts.path).strip("/").split("/"), parse_qs(parts.query))
            except _RefusalError as refusal:
                self._json(
                    {"error": refusal.message},
                    refusal.status,
                    X_Error_Code=refusal.code,
                    X_Error_Message=refusal.message,
                    **refusal.headers,
                )

        do_GET = do_HEAD = do_POST = _handle  # noqa: N815

        def _repository(self, kind: str, name: str) -> Repository:
            own = hub.repositories.get((kind, name))
            if own is None or (own.private and not TOKENS.get(self.token, ("", False))[1]):
                # To somebody without a token, a missing one looks like a private one.
                status = 404 if self.token else 401
                raise _RefusalError(status, "RepoNotFound", "Repository not found")
            return own

        def _files(self, kind: str, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
            own = self._repository(kind, name)
            sha = own.refs.get(revision, revision)
            if sha not in own.commits:
                raise _RefusalError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            if own.readers is not None and self.token not in own.readers:
                status = 403 if self.token else 401
                raise _RefusalError(status, "GatedRepo", f"Access to {kind} {name} is restricted")
            return sha, own.commits[sha]

        def _route(self, parts: list[str], query: dict[str, list[str]]) -> None:
            if parts[:1] == ["api"]:
                self._api(parts[1:], query)
                return
            kind = "dataset" if parts[0] == "datasets" else "model"
            parts = parts[1:] if kind == "dataset" else parts
            if len(parts) < 5 or parts[2] != "resolve":
                raise _RefusalError(404, "", "no such page")
            name, revision, path = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
            sha, files = self._files(kind, name, revision)
            if path not in files:
                raise _RefusalError(404, "EntryNotFound", "Entry not found", X_Repo_Commit=sha)
            content = files[path]
            headers = {"ETag": f'"{blob(content)}"', "X_Repo_Commit": sha}
            start, _, end = (self.headers.get("Range") or "").removeprefix("bytes=").partition("-")
            if self.command == "GET" and start:
                content = content[int(start) : int(end) + 1 if end else None]
                self._answer(206, content, **headers)
                return
            self._answer(200, content, **headers)

        def _api(self, parts: list[str], query: dict[str, list[str]]) -> None:
            match parts:
                case ["whoami-v2"]:
                    if not self.token:
                        raise _RefusalError(401, "", "Invalid username or password.")
                    name, writes = TOKENS[self.token]
                    role = "write" if writes else "read"
                    access = {"accessToken": {"role": role, "displayName": "of a test"}}
                    self._json({"type": "user", "name": name, "orgs": [], "auth": access})
                case ["validate-yaml"]:
                    self._json({"errors": [], "warnings": []})
                case ["repos", "create"]:
                    self._create(json.loads(self.body))
                case [kinds, owner, name, *rest] if kinds in ("models", "datasets"):
                    self._of(kinds[:-1], f"{owner}/{name}", rest, query)
                case _:
                    raise _RefusalError(404, "", "no such call")

        def _may_write(self, name: str) -> None:
            user, writes = TOKENS.get(self.token, ("", False))
            if not self.token:
                raise _RefusalError(401, "", "Invalid username or password.")
            if not writes or name.partition("/")[0] != user:
                raise _RefusalError(403, "", f"You don't have the rights to write to {name}")

        def _create(self, wanted: dict[str, str]) -> None:
            name = f"{wanted.get('organization') or TOKENS[self.token][0]}/{wanted['name']}"
            kind = wanted.get("type") or "model"
            self._may_write(name)
            start = "datasets/" if kind == "dataset" else ""
            url = {"url": f"{hub.address}/{start}{name}"}
            if (kind, name) in hub.repositories:
                self._json(url | {"error": "You already created this repo"}, 409)
                return
            hub.put(kind, name, {".gitattributes": b""})
            private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
            hub.repositories[kind, name].private = private
            self._json(url)

        def _of(self, kind: str, name: str, rest: list[str], query: dict[str, list[str]]) -> None:
            match rest:
                case [] | ["revision", _]:
                    own = self._repository(kind, name)
                    sha = own.refs.get(rest[1] if rest else "main", rest[1] if rest else "")
                    if sha not in own.commits:
                        raise _RefusalError(404, "RevisionNotFound", f"Invalid rev id: {rest}")
                    names = [{"rfilename": path} for path in sorted(own.commits[sha])]
                    gated = "manual" if own.readers is not None else False
                    self._json({
                        "id": name, "_id": "0", "sha": sha, "private": own.private, "gated": gated,
                        "siblings": names, "tags": [], "downloads": 0, "likes": 0,
                        "disabled": False,
                    })  # fmt: skip
                case ["refs"]:
                    own = self._repository(kind, name)
                    branches = [
                        {"name": ref, "ref": f"refs/heads/{ref}", "targetCommit": sha}
                        for ref, sha in own.refs.items()
                    ]
                    self._json({"branches": branches, "tags": [], "converts": []})
                case ["tree", revision, *folder]:
                    self._tree(kind, name, revision, "/".join(folder), "recursive" in query)
                case ["paths-info", revision]:
                    _, files = self._files(kind, name, revision)
                    asked = (
                        json.loads(self.body)["paths"]
                        if self.body[:1] == b"{"
                        else parse_qs(self.body.decode())["paths"]
                    )
                    self._json([one for path in asked for one in _entries(files, path.strip("/"))])
                case ["preupload", revision]:
                    self._may_write(name)
                    self._files(kind, name, revision)
                    _, files = self._files(kind, name, revision)
                    self._json({
                        "files": [
                            {
                                "path": one["path"],
                                "uploadMode": "regular",
                                "shouldIgnore": False,
                                "oid": blob(files[one["path"]]) if one["path"] in files else None,
                            }
                            for one in json.loads(self.body)["files"]
                        ]
                    })  # fmt: skip
                case ["commit", revision]:
                    self._may_write(name)
                    self._files(kind, name, revision)
                    files = {
                        line["value"]["path"]: base64.b64decode(line["value"]["content"])
                        for line in map(json.loads, self.body.splitlines())
                        if line["key"] == "file"
                    }
                    sha = hub.put(kind, name, files, revision)
                    start = "datasets/" if kind == "dataset" else ""
                    url = f"{hub.address}/{start}{name}/commit/{sha}"
                    self._json({"commitUrl": url, "commitOid": sha, "success": True})
                case _:
                    raise _RefusalError(404, "", "no such call")

        def _tree(self, kind: str, name: str, revision: str, folder: str, deep: bool) -> None:
            _, files = self._files(kind, name, revision)
            start = f"{folder}/" if folder else ""
            inside = sorted(path for path in files if path.startswith(start))
            if folder and not inside:
                raise _RefusalError(404, "EntryNotFound", "Entry not found")
            listed = {}
            for path in inside:
                below = path.removeprefix(start).split("/")
                for depth in range(1, len(below) + 1) if deep else [1]:
                    entry = start + "/".join(below[:depth])
                    listed[entry] = _entries(files, entry)[0]
            self._json(list(listed.values()))

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


def _entries(files: dict[str, bytes], path: str) -> list[dict[str, object]]:
    if path in files:
        content = files[path]
        return [{"type": "file", "oid": blob(content), "size": len(content), "path": path}]
    if any(file.startswith(f"{path}/") for file in files):
        oid = hashlib.sha1(path.encode()).hexdigest()
        return [{"type": "directory", "oid": oid, "size": 0, "path": path}]
    return []


@contextlib.contextmanager
def serve() -> Iterator[HubServer]:
    """Serve an empty hub on a port of its own."""
    hub = HubServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def point_at(patch: pytest.MonkeyPatch, address: str, cache: Path, token: str | None = None):
    """Point the clients of this process, which read the environment once, at a hub."""
    import datasets
    from huggingface_hub import close_session, constants, file_download

    for name in ("NO_PROXY", "no_proxy"):
        patch.setenv(name, "127.0.0.1")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        patch.delenv(name, raising=False)
    if token:
        patch.setenv("HF_TOKEN", token)
    close_session()  # the client reads the proxies when it is made
    patch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    for module in (constants, file_download):
        patch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    patch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
    patch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setattr(datasets.config, "HF_ENDPOINT", address)
    patch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    patch.setattr(datasets.config, "HF_DATASETS_CACHE", cache / "datasets")
