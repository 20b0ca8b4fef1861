import dataclasses
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from biasloop.assets import ASSETS, Asset, AssetFile, asset_path, cache_folder, download, registry
from biasloop.assets.download import _unpack, pip_fetch
from biasloop.errors import InputError

CONTENT = {"model/weights.bin": b"\x00\x01" * 5000, "model/deep/config.json": b"{}"}


def made_up_asset(content=CONTENT) -> Asset:
    files = tuple(
        AssetFile(name.removeprefix("model/"), len(data), hashlib.sha256(data).hexdigest())
        for name, data in content.items()
    )
    return Asset("toy", "toy-package", "1.0", "pkg/model", files, "a toy", "MIT", "nobody (2020)")


def write_wheel(path: Path, content=CONTENT, extra=None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(f"pkg/{name}", data)
        archive.writestr("pkg/__init__.py", "raise SystemExit('the code of a package ran')")
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
    return path


class Fetch:
    """Stands in for pip: writes a made-up wheel and counts the calls."""

    def __init__(self, content=CONTENT, extra=None):
        self.calls: list[str] = []
        self.content, self.extra = content, extra

    def __call__(self, requirement: str, folder: Path) -> Path:
        self.calls.append(requirement)
        return write_wheel(folder / "toy_package-1.0-py3-none-any.whl", self.content, self.extra)


@pytest.fixture
def toy(monkeypatch, tmp_path):
    asset = made_up_asset()
    monkeypatch.setitem(ASSETS, "toy", asset)
    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "cache"))
    return asset


def files_under(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_only_the_wanted_files_arrive_and_a_second_call_fetches_nothing(toy):
    fetch = Fetch()
    info = download("toy", fetch=fetch)
    assert info.status == "downloaded"
    assert fetch.calls == ["toy-package==1.0"]
    assert files_under(info.path) == {
        "weights.bin": CONTENT["model/weights.bin"],
        "deep/config.json": b"{}",
    }
    assert info.size == sum(map(len, CONTENT.values()))
    assert (info.licence, info.citation) == ("MIT", "nobody (2020)")
    assert asset_path("toy") == info.path
    again = download("toy", fetch=fetch)
    assert again == dataclasses.replace(info, status="present")
    assert len(fetch.calls) == 1
    # Nothing else is left lying in the cache.
    assert [path.name for path in info.path.parent.iterdir()] == ["toy-1.0"]


def test_an_own_cache_is_used(toy, tmp_path):
    info = download("toy", tmp_path / "elsewhere", fetch=Fetch())
    assert info.path.is_relative_to(tmp_path / "elsewhere")
    assert not cache_folder().exists()


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_a_damaged_asset_is_named_and_repaired(toy, damage):
    path = download("toy", fetch=Fetch()).path / "weights.bin"
    if damage == "flip":
        path.write_bytes(b"\x02" + path.read_bytes()[1:])
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    if damage != "flip":
        with pytest.raises(InputError, match=r"weights\.bin.*biasloop download toy"):
            asset_path("toy")
    fetch = Fetch()
    info = download("toy", fetch=fetch)
    assert info.status == "repaired"
    assert len(info.damage) == 1
    assert "weights.bin" in info.damage[0]
    assert path.read_bytes() == CONTENT["model/weights.bin"]
    assert download("toy", fetch=fetch).status == "present"
    assert len(fetch.calls) == 1
    assert [folder.name for folder in info.path.parent.iterdir()] == ["toy-1.0"]


def test_a_failed_repair_leaves_what_was_there(toy):
    folder = download("toy", fetch=Fetch()).path
    (folder / "weights.bin").unlink()

    def fail(requirement, target):
        raise InputError("no network")

    with pytest.raises(InputError, match="no network"):
        download("toy", fetch=fail)
    assert (folder / "deep/config.json").read_bytes() == b"{}"


def test_not_downloaded_names_the_command(toy):
    with pytest.raises(InputError, match="run `biasloop download toy`"):
        asset_path("toy")


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(InputError, match="did you mean 'conventions'"):
        download("convention")
    with pytest.raises(InputError, match="did you mean 'minilm'"):
        asset_path("minilmm")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**CONTENT, "model/weights.bin": b"\x00\x02" * 5000}, "not the file that biasloop knows"),
        ({**CONTENT, "model/weights.bin": bytes(10**6)}, "more than 10,000 bytes"),
        ({"model/weights.bin": CONTENT["model/weights.bin"]}, "there is no pkg/model/deep/config"),
    ],
)
def test_a_wheel_with_other_content_is_refused(toy, content, message):
    with pytest.raises(InputError, match=message):
        download("toy", fetch=Fetch(content))
    with pytest.raises(InputError, match="not downloaded"):
        asset_path("toy")
    assert not any((cache_folder() / "assets").iterdir())


def test_members_that_would_leave_the_folder_are_not_written(toy, tmp_path):
    evil = {
        "../../evil.txt": b"x",
        "/tmp/biasloop-evil.txt": b"x",
        "pkg/model/../../../evil.txt": b"x",
        "pkg/model/unwanted.py": b"x",
    }
    info = download("toy", fetch=Fetch(extra=evil))
    assert set(files_under(info.path)) == {"weights.bin", "deep/config.json"}
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]
    assert not Path("/tmp/biasloop-evil.txt").exists()


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", "a\\..\\x"])
def test_the_registry_cannot_name_a_path_outside(path):
    with pytest.raises(ValueError, match="would leave"):
        AssetFile(path, 1, "0" * 64)


def test_a_link_in_a_wheel_is_only_bytes(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    asset = made_up_asset({"model/link": str(secret).encode()})
    wheel = tmp_path / "w.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        member = zipfile.ZipInfo("pkg/model/link")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, str(secret))
    folder = tmp_path / "out"
    folder.mkdir()
    _unpack(wheel, asset, folder)
    assert not (folder / "link").is_symlink()
    assert (folder / "link").read_text() == str(secret)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut off"])
def test_a_broken_wheel_is_an_input_error(toy, content):
    def fetch(requirement, folder):
        (folder / "w.whl").write_bytes(content)
        return folder / "w.whl"

    with pytest.raises(InputError, match="not a usable wheel"):
        download("toy", fetch=fetch)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_to(toy, tmp_path):
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.raises(InputError, match="BIASLOOP_CACHE"):
        download("toy", fetch=Fetch())


def test_a_cache_that_is_a_file(toy, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(InputError, match="BIASLOOP_CACHE"):
        download("toy", fetch=Fetch())


class Done:
    def __init__(self, returncode, stderr=""):
        self.returncode, self.stderr, self.stdout = returncode, stderr, ""


def test_pip_is_called_without_dependencies_or_builds(monkeypatch, tmp_path):
    commands = []

    def run(command, **options):
        commands.append(command)
        write_wheel(tmp_path / "toy_package-1.0-py3-none-any.whl")
        return Done(0)

    monkeypatch.setattr(subprocess, "run", run)
    wheel = pip_fetch("toy-package==1.0", tmp_path)
    assert wheel.suffix == ".whl"
    (command,) = commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "toy-package==1.0"} <= set(command)
    assert command[command.index("-d") + 1] == str(tmp_path)


def test_pip_s_last_line_is_shown(monkeypatch, tmp_path):
    stderr = "WARNING: Retrying\nERROR: No matching distribution found for toy-package==1.0\n\n"
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: Done(1, stderr))
    with pytest.raises(InputError, match="ERROR: No matching distribution found for toy-package"):
        pip_fetch("toy-package==1.0", tmp_path)


def test_pip_that_brings_nothing_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: Done(0))
    with pytest.raises(InputError, match="0 wheels"):
        pip_fetch("toy-package==1.0", tmp_path)


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("BIASLOOP_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache/biasloop"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache/biasloop"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg/biasloop"
    monkeypatch.setenv("BIASLOOP_CACHE", "~/own")
    assert cache_folder() == tmp_path / "own"


def test_every_asset_is_pinned_and_says_its_licence():
    assert set(registry.ASSETS) >= {"conventions", "smollm2-135m", "minilm"}
    for name, asset in registry.ASSETS.items():
        assert asset.name == name
        assert asset.licence
        assert asset.citation
        assert asset.version
        assert all(len(file.sha256) == 64 and file.size > 0 for file in asset.files)
    assert "MIT" in ASSETS["minilm"].licence
    assert "Apache-2.0" in ASSETS["minilm"].licence


@pytest.mark.slow
def test_the_real_convention_speeches_can_be_downloaded(tmp_path):
    try:
        info = download("conventions", tmp_path)
    except InputError as error:
        if "failed" in str(error):
            pytest.skip(f"PyPI is not within reach: {error}")
        raise
    assert info.status == "downloaded"
    assert download("conventions", tmp_path, fetch=Fetch()).status == "present"
