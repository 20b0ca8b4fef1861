"""What may come of a case: success, or one message for the user. Knows nothing of what is called.

Everything else is a finding: another exception, more time or memory than the bounds, a file or
folder written outside the allowed ones, a process started, the network asked, noise on stderr.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from biasloop.errors import BiasloopError

#: A message is for reading: no longer than this many characters.
MAX_MESSAGE = 10_000

#: Audit events that change the file system: where a path stands in their arguments, and where the
#: descriptor of the folder that it is relative to, if it has one.
_CHANGES: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.mkdir": ((0, 2),),
    "os.rename": ((0, 2), (1, 3)),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.symlink": ((1, 2),),
    "os.link": ((1, 3),),
    "os.truncate": ((0, None),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.utime": ((0, 3),),
    "os.setxattr": ((0, None),),
    "shutil.copyfile": ((1, None),),
    "shutil.copytree": ((1, None),),
    "shutil.move": ((0, None), (1, None)),
    "shutil.rmtree": ((0, 1),),
    "shutil.unpack_archive": ((1, None),),
}
#: Audit events that no reader of a config or a corpus has a reason for.
_FORBIDDEN = (
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pickle.find_class",
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class _Hang(BaseException):
    """A case took too long. A BaseException, so that nothing takes it for its own."""


class Watch:
    """Sees through an audit hook what a block writes, starts and asks for.

    Files that native code opens itself raise no event: `snapshot` sees those.
    """

    def __init__(self) -> None:
        self._roots: tuple[str, ...] | None = None
        self._may_start = False
        self._thread = 0
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._roots is None:
            return
        if event in _FORBIDDEN and not self._may_start:
            self.seen.append(f"{event} {arguments!r:.200}")
        elif event == "open":
            path, mode, flags = arguments
            writes = set(mode or "") & set("wax+") or (flags or 0) & _WRITING
            if writes and not isinstance(path, int):
                self._judge(event, path)
        elif event in _CHANGES:
            for place, folder in _CHANGES[event]:
                descriptor = arguments[folder] if folder and len(arguments) > folder else None
                self._judge(event, arguments[place], descriptor)

    def _judge(self, event: str, path: object, folder: object = None) -> None:
        if not isinstance(path, (str, bytes)) and not hasattr(path, "__fspath__"):
            return
        roots = self._roots or ()
        self._roots = None  # what is asked here is not the block's doing
        try:
            name = os.fsdecode(path)  # type: ignore[arg-type]
            if isinstance(folder, int) and folder >= 0:
                name = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)  # noqa: PTH115, PTH118
            real = os.path.realpath(name)
        except (OSError, ValueError):
            real = repr(path)
        finally:
            self._roots = roots
        if real != os.devnull and not any(
            real == root or real.startswith(root + os.sep) for root in roots
        ):
            self.seen.append(f"{event} {real!r}")

    @contextlib.contextmanager
    def allowing(self, *roots: Path, may_start: bool = False) -> Generator[list[str]]:
        """Record in the yielded list what a block does outside ``roots``."""
        self.seen = []
        self._may_start = may_start
        self._roots = tuple(os.path.realpath(root) for root in roots)
        try:
            yield self.seen
        finally:
            self._roots = None


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """List everything in a folder with its kind, size and time of change; follows no link."""
    found = {}
    for parent, folders, files in os.walk(folder, followlinks=False):
        for name in (*folders, *files):
            path = os.path.join(parent, name)  # noqa: PTH118 - names need not be UTF-8
            state = os.lstat(path)
            found[path] = (state.st_mode, state.st_size, state.st_mtime_ns)
    return found


@dataclass(frozen=True)
class Outcome:
    """How a case ended: ``accepted``, ``refused`` or ``finding``, with the message or fault."""

    kind: str
    detail: str = ""


@contextlib.contextmanager
def _bounded(seconds: float) -> Generator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise _Hang

    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("the time bound needs the main thread")
    previous = signal.signal(signal.SIGALRM, stop)
    # Native code that does not return cannot be interrupted: the process then ends with a trace.
    faulthandler.dump_traceback_later(10 * seconds, exit=True)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, previous)


def _forget_peak() -> int:
    """Set the process's peak of memory back to what it has now, and return that, in MB."""
    with contextlib.suppress(OSError):  # elsewhere than on Linux, the peak only grows
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class Judge:
    """Runs cases, and says of each how it ended.

    Parameters
    ----------
    seconds
        Bound on a case's time.
    megabytes
        Bound on what a case may add to the process's peak memory.
    """

    def __init__(self, seconds: float = 10.0, megabytes: int = 400) -> None:
        self.seconds = seconds
        self.megabytes = megabytes
        self.watch = Watch()

    def __call__(self, act: Callable[[], object], sandbox: Path, names: Sequence[str]) -> Outcome:
        """Run a case.

        Parameters
        ----------
        act
            What is called.
        sandbox
            A folder that must be the same afterwards; nothing else may be written either.
        names
            A message must hold one of these texts: the file's name, or a setting.
        """
        before, peak = snapshot(sandbox), _forget_peak()
        with tempfile.TemporaryFile() as noise:
            kept = os.dup(2)
            os.dup2(noise.fileno(), 2)
            try:
                with self.watch.allowing() as seen:
                    outcome = self._run(act, names)
            finally:
                os.dup2(kept, 2)
                os.close(kept)
            noise.seek(0)
            shown = noise.read().decode("utf-8", "replace").strip()
        if outcome.kind == "finding":
            return outcome
        if seen:
            return Outcome("finding", "outside the allowed folders: " + "; ".join(seen[:3]))
        after = snapshot(sandbox)
        if after != before:
            changed = sorted(set(before.items()) ^ set(after.items()))[:3]
            return Outcome("finding", f"the input folder is not as it was: {changed!r}")
        if shown:
            return Outcome("finding", f"noise on stderr: {shown[:500]}")
        if _peak() - peak > self.megabytes:
            return Outcome("finding", f"{_peak() - peak:,} MB of memory")
        return outcome

    def _run(self, act: Callable[[], object], names: Sequence[str]) -> Outcome:
        try:
            with _bounded(self.seconds):
                act()
        except BiasloopError as error:
            return self._message(error, names)
        except KeyboardInterrupt:
            raise
        except _Hang:
            return Outcome("finding", f"more than {self.seconds:g} s")
        except BaseException as error:
            frames = traceback.extract_tb(error.__traceback__)[-3:]
            places = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
            return Outcome("finding", f"{type(error).__name__}: {str(error)[:200]} ({places})")
        return Outcome("accepted")

    @staticmethod
    def _message(error: BiasloopError, names: Sequence[str]) -> Outcome:
        text = str(error)
        if error.exit_code not in (2, 3):
            return Outcome("finding", f"exit code {error.exit_code}: {text[:200]}")
        if len(text) > MAX_MESSAGE:
            return Outcome("finding", f"a message of {len(text):,} characters: {text[:200]}")
        if "Traceback (most recent call last)" in text or not text.strip():
            return Outcome("finding", f"no message for a user: {text[:200]!r}")
        if not any(name in text for name in names):
            return Outcome("finding", f"names neither file nor setting: {text[:300]}")
        return Outcome("refused", text)
