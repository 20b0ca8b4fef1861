"""Why the hub gives a model or data set not out, asked of a small hub on this machine.

The client is huggingface_hub's own.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

from biasloop.config import CorpusConfig
from biasloop.corpus import load_corpus
from biasloop.errors import InputError
from biasloop.models import load_model


@pytest.fixture(scope="module")
def hub():
    """A hub with an empty ``some/tiny``; ``some/gated`` is gated, anything else is missing."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status, reason):
            self.send_response(status)
            self.send_header("X-Error-Code", reason)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_HEAD(self):
            path = unquote(urlsplit(self.path).path)
            if "some/gated" in path:
                return self.answer(403, "GatedRepo")
            if "some/tiny" not in path:
                return self.answer(404, "RepoNotFound")
            if "/resolve/main/" not in path:
                return self.answer(404, "RevisionNotFound")
            return self.answer(404, "EntryNotFound")

        do_GET = do_HEAD  # noqa: N815

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def endpoint(monkeypatch, tmp_path):
    """Point the client of this process, which is asked first, at a hub."""
    from huggingface_hub import close_session, constants, file_download

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    close_session()  # the client reads the proxies when it is made

    def point(address):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        for module in (constants, file_download):
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    return point


def message(kind, name, revision=None):
    def act():
        if kind == "model":
            return load_model(name, revision)
        return load_corpus(CorpusConfig(source=f"hub:{name}", revision=revision), 0)

    with pytest.raises(InputError) as found:
        act()
    return str(found.value)


@pytest.mark.parametrize(
    ("kind", "name", "revision", "words"),
    [
        ("model", "some/gated", None, ["gated", "accept its licence at http", "hf auth login"]),
        ("dataset", "some/gated", None, ["gated", "/datasets/some/gated", "HF_TOKEN"]),
        ("model", "some/other", None, ["has no such model", "spelt right"]),
        ("dataset", "some/other", None, ["has no such dataset", "corpus.source"]),
        ("model", "some/tiny", "v9", ["no revision 'v9'"]),
        ("dataset", "some/tiny", "v9", ["no revision 'v9'"]),
    ],
)
def test_what_the_hub_refuses_is_told_in_words(hub, endpoint, kind, name, revision, words):
    endpoint(hub)
    said = message(kind, name, revision)
    for word in words:
        assert word in said


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_host_that_never_answers_is_given_up_within_ten_seconds(endpoint, kind):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        assert "out of reach" in message(kind, "some/tiny")
        assert time.monotonic() - start < 10


def test_what_is_not_on_this_disk_names_the_switch_where_the_hub_is_switched_off(tmp_path):
    """In a process of its own: the libraries read the switch when they are imported."""
    code = (
        "from biasloop.config import CorpusConfig\n"
        "from biasloop.corpus import load_corpus\n"
        "from biasloop.errors import InputError\n"
        "from biasloop.models import load_model\n"
        "for act in (lambda: load_model('some/tiny'),\n"
        "            lambda: load_corpus(CorpusConfig(source='hub:some/tiny'), 0)):\n"
        "    try:\n        act()\n    except InputError as error:\n        print(error)\n"
    )
    own = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all("HF_HUB_OFFLINE is set" in line for line in lines)
