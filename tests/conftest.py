"""For every test: one thread, since more of them only wait for each other on tiny models."""

import os
import signal
import sys

import pytest
from hypothesis import settings

# Before anything loads a numerical library, which reads this once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine is slow; that says nothing of the code. Speed is measured in benchmarks/.
settings.register_profile("biasloop", deadline=None)
settings.load_profile("biasloop")


def pytest_collection_modifyitems(items):
    """Begin with the modules that have a slow test: at the end a process would wait for another."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module")
def blank():
    """Have a report's PNGs be empty: most of its time is theirs, and other tests draw each one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("biasloop.report.write.png", lambda chart: b"")
        yield


@pytest.fixture
def command(monkeypatch, capsys):
    """`biasloop` in this process, for a new one takes seconds to load its libraries.

    Gives the exit code, what was printed and what was printed as an error.
    """
    from biasloop.cli import main

    def call(*arguments, cwd=None):
        if cwd:
            monkeypatch.chdir(cwd)
        monkeypatch.setenv("BIASLOOP_TRACEBACK", "")
        monkeypatch.setattr(sys, "argv", ["biasloop", *map(str, arguments)])
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    return call


@pytest.fixture
def biasloop(command):
    """`command`, with its exit code checked: what was printed, or said of bad input."""

    def call(*arguments, cwd, code=0):
        ended, out, errors = command(*arguments, cwd=cwd)
        assert ended == code, out + errors
        assert "Traceback" not in errors
        return out if code == 0 else errors

    return call
