"""The page in headless Chromium: it draws, and nothing that a model wrote runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_made_up import MARKER

from biasloop.report import write_report

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in _NAMES if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-sync", "--disable-background-networking", "--disable-component-update"),
    *("--virtual-time-budget=8000", "--hide-scrollbars", "--enable-logging=stderr", "--v=0"),
)


def _browse(page: Path, folder: Path, *flags: str) -> tuple[str, list[str]]:
    """Return what Chromium wrote and the page's console lines."""
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", *flags, page.as_uri()],
        capture_output=True,
        timeout=120,
        check=True,
    )
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    return done.stdout.decode("utf-8"), [line for line in lines if "CONSOLE" in line]


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    from report_made_up import build_results

    folder = tmp_path_factory.mktemp("report")
    results = build_results(
        folder / "run",
        articles=24,
        generations=3,
        seeds=(0, 1),
        regimes=("synthetic", "overfitting"),
        labels=("</script><script>document.title=1</script>", "<b>bold</b>", "<i>it</i> & $x$"),
        settings={"report": {"bootstrap": 100, "examples": 7}},
    )
    return write_report(results, folder / "report")


def test_every_figure_is_drawn_and_no_text_ran(report: Path, tmp_path: Path) -> None:
    dom, console = _browse(report, tmp_path, "--dump-dom")
    assert console == []
    page = report.read_text("utf-8")
    figures = re.findall(r'data-figure="(\w+)"', page)
    assert len(figures) == len(set(figures)) >= 14
    assert f'data-drawn="{len(figures)}"' in dom
    for figure in figures:
        at = dom.index(f'data-figure="{figure}"')
        drawn = dom[at : dom.find('data-figure="', at + 20)]
        assert "main-svg" in drawn, figure
        assert re.search(r'class="(?:js-line|point|errorbar)|<path class="point"', drawn), figure
    assert "<title>made-up: bias and collapse over generations</title>" in dom
    assert f"<title>{MARKER}" not in dom
    # A label's markup is text on the axis too.
    assert "share of “&lt;i&gt;it&lt;/i&gt; &amp; $x$”, %" in dom


def test_a_script_that_got_in_would_not_run(report: Path, tmp_path: Path) -> None:
    page = report.read_text("utf-8")
    evil = f"<script>document.title='{MARKER}'</script><img src=x onerror=\"document.title=1\">"
    broken = tmp_path / "broken.html"
    broken.write_text(page.replace("<footer>", evil + "<footer>"), "utf-8")
    dom, console = _browse(broken, tmp_path / "profile", "--dump-dom")
    assert "<title>made-up: bias" in dom
    assert any("Content Security Policy" in line for line in console)


def test_a_legend_button_hides_its_regime_in_every_figure(report: Path, tmp_path: Path) -> None:
    page = report.read_text("utf-8")
    check = """<script>
    document.querySelector('button[data-line="synthetic"]').click();
    var hidden = 0, left = 0;
    document.querySelectorAll('[data-figure]').forEach(function (box) {
      box.data.forEach(function (trace) {
        if (trace.legendgroup === 'synthetic') { trace.visible === false ? hidden++ : left++; }
      });
    });
    document.documentElement.setAttribute('data-hidden', hidden + ' hidden, ' + left + ' left');
    </script></body>"""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    changed = tmp_path / "changed.html"
    changed.write_text(page.replace("</body>", check), "utf-8")
    dom, _ = _browse(changed, tmp_path / "profile", "--dump-dom")
    found = re.search(r'data-hidden="(\d+) hidden, (\d+) left"', dom)
    assert found is not None
    assert int(found[1]) > 14
    assert found[2] == "0"
    pressed = re.findall(r'data-line="synthetic" aria-pressed="(\w+)"', dom)
    assert set(pressed) == {"false"}


def test_nothing_is_wider_than_the_screen(report: Path, tmp_path: Path) -> None:
    page = report.read_text("utf-8")
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    page = page.replace(
        "</body>",
        "<script>var page = document.documentElement;"
        "parent.postMessage(page.scrollWidth + ' in ' + innerWidth, '*')</script></body>",
    )
    (tmp_path / "page.html").write_text(page, "utf-8")
    # Headless Chromium's window is at least 500 wide, so frames give the widths.
    frames = "".join(
        f"<iframe src='page.html' style='width:{width}px;height:900px;border:0'></iframe>"
        for width in (400, 1280)
    )
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"<body>{frames}<script>onmessage = e => document.body.append(e.data + '; ')</script>",
        "utf-8",
    )
    dom, _ = _browse(frame, tmp_path / "profile", "--dump-dom", "--window-size=1400,2000")
    assert sorted(re.findall(r"\d+ in \d+", dom)) == ["1280 in 1280", "400 in 400"]


def test_the_answer_is_on_the_first_screen_and_the_rest_is_folded(
    report: Path, tmp_path: Path
) -> None:
    page = report.read_text("utf-8")
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    check = """<script>
    var at = function (name) {
      return Math.round(document.querySelector(name).getBoundingClientRect().bottom);
    };
    var open = document.querySelectorAll('details.fold[open]').length;
    document.documentElement.setAttribute(
      'data-said', [at('.sentence'), at('table.answer'), at('#main .legend'), open].join(', '));
    </script></body>"""
    changed = tmp_path / "changed.html"
    changed.write_text(page.replace("</body>", check), "utf-8")
    dom, _ = _browse(changed, tmp_path / "profile", "--dump-dom", "--window-size=1280,800")
    found = re.search(r'data-said="([^"]*)"', dom)
    assert found is not None
    sentence, table, legend, opened = map(int, found[1].split(", "))
    assert sentence < table < legend < 700
    assert opened == 0
