"""What a run shows of itself: bars, lines or JSON."""

import json
import sys

from biasloop.cli.progress import listener
from biasloop.loop import Event

EVENTS = [
    Event("run", done=1, total=4, message="runs/x"),
    Event("start", "finetune", "synthetic [bold]", 1, 4),
    Event("progress", "finetune", "synthetic [bold]", 1, 4, 500, 2.0, 65.0),
    Event("finish", "finetune", "synthetic [bold]", 2, 4, 1000, 4.0, 61.4),
    Event("finish", "score", "synthetic: score", 3, 4, 0, 0.5),
    Event("end", done=4, total=4, seconds=9.0),
]


def show(as_json, events=EVENTS):
    with listener(as_json) as listen:
        for event in events:
            listen(event)


def test_lines_say_stage_speed_and_time_left(capsys):
    show(as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "runs/x: 1 of 4 stages are done",
        "[2/4] synthetic [bold] (4.0 s, 250 tokens/s, 1:01 left)",
        "[3/4] synthetic: score (0.5 s)",
    ]


def test_json_is_one_object_a_line(capsys):
    show(as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == [event.event for event in EVENTS]
    assert lines[3]["tokens"] == 1000


def test_a_terminal_gets_bars_and_a_name_is_not_markup(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    show(False, [*EVENTS[:2], EVENTS[3]])  # the last is what stays on the screen
    shown = capsys.readouterr().out
    assert "synthetic [bold]" in shown
    assert "250 tokens/s 1:01 left" in " ".join(shown.split())
    assert "stages are done" not in shown
