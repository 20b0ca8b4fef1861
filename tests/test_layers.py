"""Imports point down the layers of the design; heavy libraries wait until they are needed."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import biasloop

ROOT = Path(__file__).parents[1]


def test_imports_point_down():
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml")) == 0


def test_help_loads_no_heavy_library():
    code = (
        "import sys, biasloop.cli.main\n"
        "heavy = {'torch', 'transformers', 'sklearn', 'polars', 'plotly', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_modules_stay_readable():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "src").rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 650  # "some 600"
    }
    assert long == {}


def test_packages_have_what_they_export():
    for found in pkgutil.walk_packages(biasloop.__path__, "biasloop."):
        if found.ispkg:
            package = importlib.import_module(found.name)
            assert [n for n in getattr(package, "__all__", ()) if not hasattr(package, n)] == []
