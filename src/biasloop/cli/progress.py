"""Show a run's events: bars on a terminal, lines elsewhere, or JSON."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from biasloop.loop import Event, Listener


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _print_json(event: Event) -> None:
    print(json.dumps(event.as_dict(), ensure_ascii=False), flush=True)


def _print_line(event: Event) -> None:
    if event.event == "warning":
        print(f"warning: {event.message}", file=sys.stderr, flush=True)
    elif event.event == "run":
        print(f"{event.message}: {event.done} of {event.total} stages are done", flush=True)
    elif event.event == "finish":
        speed = f", {event.tokens / event.seconds:,.0f} tokens/s" if event.tokens else ""
        left = f", {_minutes(event.left)} left" if event.left is not None else ""
        print(
            f"[{event.done}/{event.total}] {event.name} ({event.seconds:.1f} s{speed}{left})",
            flush=True,
        )


@contextlib.contextmanager
def listener(as_json: bool) -> Generator[Listener]:
    """Yield what shows events, for as long as the run goes on."""
    if as_json:
        yield _print_json
    elif not sys.stdout.isatty():
        yield _print_line
    else:
        with _bars() as show:
            yield show


def counter(what: str) -> Callable[[int, int], None]:
    """Return what shows a count of ``what`` on the error stream: done, of how many."""

    def show(done: int, total: int) -> None:
        end = "\n" if done == total or not sys.stderr.isatty() else "\r"
        print(f"{done} of {total} {what}", end=end, file=sys.stderr, flush=True)

    return show


@contextlib.contextmanager
def _bars() -> Generator[Listener]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[speed]} {task.fields[left]}", markup=False),
    )
    with progress:
        task = progress.add_task("starting", total=None, speed="", left="")

        rates: dict[str, float] = {}  # tokens per second of what runs now, several on a cluster

        def show(event: Event) -> None:
            if event.event == "warning":
                progress.console.print(f"warning: {event.message}", markup=False)
                return
            rate = event.tokens / event.seconds if event.seconds else 0.0
            others = sum(own for name, own in rates.items() if name != event.name)
            if event.event == "finish":
                rates.pop(event.name, None)
            elif event.name:
                rates[event.name] = rate
            beside = len(rates.keys() - {event.name})
            left = f"{_minutes(event.left)} left" if event.left is not None else ""
            progress.update(
                task,
                description=(event.name or "biasloop") + (f" and {beside} more" if beside else ""),
                completed=event.done,
                total=event.total or None,
                speed=f"{rate + others:,.0f} tokens/s" if rate + others else "",
                left=left,
            )

        yield show
