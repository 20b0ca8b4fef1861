"""A model or data set of the Hugging Face hub: whether it can be had, and its files on this disk.

The hub is asked once, and has a few seconds to answer, before anything is fetched: transformers and
datasets ask again and again where a host does not answer, and tell a gated repository from a
missing one only deep in their traces. Of a model, its settings are fetched first and its weights
when they are loaded; transformers is given the folder, so that a model of the hub is read as one of
a local folder.
"""

from __future__ import annotations

import contextlib
import glob
import json
import re
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from biasloop.errors import InputError
from biasloop.files import write_text

#: Seconds that the hub may take to answer the one question that is put to it first.
PATIENCE = 8.0

Kind = Literal["model", "dataset"]
_SHOWN_BY: dict[Kind, str] = {"model": "config.json", "dataset": "README.md"}
#: What of a model is read beside its weights: settings, vocabularies, templates; of an encoder of
#: sentence-transformers its further modules, as in ``1_Pooling``.
_SETTINGS = re.compile(
    r"(\d+_\w+/|additional_chat_templates/)?[^/]+\.(json|txt|model|jinja|tiktoken)", re.ASCII
)
#: In what `upload` uploads: what it is, and of which run.
RECORD = "biasloop.json"
_REVISION = re.compile(r"[\w][\w./-]{0,200}", re.ASCII)
_INDEX = "model.safetensors.index.json"
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")


@dataclass(frozen=True)
class Hosted:
    """A repository that can be had.

    Attributes
    ----------
    name, kind
        Its id, and what it holds.
    commit
        Which version of it; None where the hub does not say.
    reachable
        Whether the hub can be asked for more; else only what is on this disk counts.
    revision
        The branch, tag or commit that was asked for.
    """

    name: str
    kind: Kind
    commit: str | None
    reachable: bool
    revision: str = "main"


def page_of(name: str, kind: Kind) -> str:
    """Return the address of a repository's page."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{name}"


def check_hub(shown: str, name: str, kind: Kind, revision: str | None = None) -> Hosted:
    """Ask the hub once whether it gives a repository out, to say why not in words.

    Nothing is asked where the hub is switched off; a host out of reach is no matter where there is
    a copy on this disk.

    Parameters
    ----------
    shown
        What the user wrote, for the message.
    name
        The repository's id.
    kind
        What it should hold.
    revision
        A branch, tag or commit; the main branch where null.

    Raises
    ------
    InputError
        If it is gated, private, missing or without that revision, or the hub is out of reach and
        there is no copy.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
    )

    wanted = revision or "main"
    if not _REVISION.fullmatch(wanted) or ".." in wanted:
        raise InputError(f"{shown}: {wanted[:200]!r} is no branch, tag or commit")
    try:
        url = hf_hub_url(
            name, _SHOWN_BY[kind], repo_type=kind, revision=revision, endpoint=constants.ENDPOINT
        )
        copy = Hosted(name, kind, _cached_commit(name, kind, wanted), False, wanted)
        if constants.HF_HUB_OFFLINE:
            if copy.commit is None and kind == "model":
                raise InputError(f"{shown}: cannot be had: {switched_off()}")
            return copy
        found = get_hf_file_metadata(url, timeout=PATIENCE)
        return Hosted(name, kind, found.commit_hash, True, wanted)
    except EntryNotFoundError as error:  # the repository is there, and has no such file
        headers = getattr(getattr(error, "response", None), "headers", {})
        commit = headers.get(constants.HUGGINGFACE_HEADER_X_REPO_COMMIT)
        return Hosted(name, kind, commit, True, wanted)
    except HFValidationError as error:
        raise InputError(f"{shown}: '{name[:200]}' is no id of a {kind} of the hub") from error
    except (HfHubHTTPError, _client_error(), OSError) as error:
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if not 400 <= status < 500 and _has_copy(copy):
            return copy
        raise InputError(f"{shown}: {_refusal(error, name, kind, revision)}") from error


def _refusal(error: Exception, name: str, kind: Kind, revision: str | None) -> str:
    """Say why the hub does not give a repository out, and what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        DisabledRepoError,
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = page_of(name, kind)
    status = getattr(getattr(error, "response", None), "status_code", 0)
    log_in = "log in (`hf auth login`, or a token in HF_TOKEN)"
    if isinstance(error, GatedRepoError):  # is a RepositoryNotFoundError, too
        return f"this {kind} is gated: accept its licence at {page} and {log_in}"
    if isinstance(error, RevisionNotFoundError):
        return (
            f"the hub has this {kind}, but no revision '{revision or 'main'}' of it: "
            f"{page}/commits/main lists those there are"
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"the hub ({constants.ENDPOINT}) has no such {kind}, or it is private: is "
            f"'{name}' spelt right? For a private one, {log_in}"
        )
    if isinstance(error, DisabledRepoError):
        return f"the hub has disabled this {kind}: see {page}"
    if status in (401, 403):
        return (
            f"the hub refuses access to this {kind} (HTTP {status}): {log_in} as "
            f"somebody who may read {page}; a token that is set may have run out"
        )
    if status:
        return f"the hub ({constants.ENDPOINT}) answers with HTTP {status}: try again later"
    return f"it is not on this disk, and {_out_of_reach(error)}"


def _out_of_reach(error: Exception) -> str:
    from huggingface_hub import constants

    return (
        f"the hub ({constants.ENDPOINT}) is out of reach ({type(error).__name__}): is there a "
        "network, and are HF_ENDPOINT and the proxy settings right?"
    )


def _client_error() -> type[Exception]:
    """Give the error of the client that huggingface_hub asks with; older ones ask with httpx."""
    name = "httpx2" if find_spec("httpx2") else "httpx"
    return import_module(name).HTTPError


def _copies(name: str, kind: Kind) -> Path:
    """Return the folder of what was fetched of a repository."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type=kind)


def _cached_commit(name: str, kind: Kind, revision: str) -> str | None:
    """Tell which version is on this disk, by the branch, tag or commit that is wanted."""
    place = _copies(name, kind)
    try:
        commit = (place / "refs" / revision).read_text(encoding="utf-8").strip()
    except OSError:
        return revision if (place / "snapshots" / revision).is_dir() else None
    # The library datasets keeps what it has read elsewhere.
    return commit if kind == "dataset" or (place / "snapshots" / commit).is_dir() else None


def _has_copy(copy: Hosted) -> bool:
    fetched = copy.kind == "dataset" and _copies(copy.name, copy.kind).is_dir()
    return copy.commit is not None or fetched


def remember(hosted: Hosted) -> None:
    """Note which commit a branch or tag stands for, to know it where the hub is out of reach."""
    if hosted.reachable and hosted.commit:
        path = _copies(hosted.name, hosted.kind) / "refs" / hosted.revision
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, hosted.commit)


def settings_of(shown: str, hosted: Hosted) -> Path:
    """Fetch a model's files but for its weights (an adapter's are fetched).

    Returns
    -------
    Path
        The folder, named by the commit.

    Raises
    ------
    InputError
        If they cannot be had.
    """
    if not hosted.reachable:
        return _copies(hosted.name, hosted.kind) / "snapshots" / str(hosted.commit)
    from huggingface_hub import HfApi, constants

    with _explained(shown, hosted):
        files = HfApi(endpoint=constants.ENDPOINT).list_repo_files(
            hosted.name, revision=hosted.commit or hosted.revision, repo_type=hosted.kind
        )
        wanted = [file for file in files if _SETTINGS.fullmatch(file)]
        if _ADAPTER[0] in files:
            wanted += [file for file in files if re.fullmatch(r"[^/]+\.safetensors", file)]
        folder = _fetch(hosted, wanted)
        remember(replace(hosted, commit=folder.name))
        return folder


def weights_of(shown: str, hosted: Hosted, folder: Path) -> None:
    """Fetch the weights of a model whose settings are in a folder.

    Raises
    ------
    InputError
        If they cannot be had, or are no safetensors.
    """
    names = ["model.safetensors"]
    if (folder / _INDEX).is_file():
        try:
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            names = sorted(set(map(str, index["weight_map"].values())))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{shown}: {_INDEX} cannot be read: {error}") from error
    if all((folder / name).is_file() for name in names):
        return
    if hosted.reachable:
        with _explained(shown, hosted):
            _fetch(hosted, names)
    lacking = [name for name in names if not (folder / name).is_file()]
    if lacking and hosted.reachable:
        raise InputError(
            f"{shown}: its repository has no {lacking[0]}: only weights as safetensors are read "
            "(never pickle). Look for a revision that has them (refs/pr/1 and so on), or load it "
            "with transformers and give the folder that save_pretrained then writes"
        )
    if lacking:
        why = switched_off() or "it is not complete on this disk, and the hub is out of reach"
        raise InputError(f"{shown}: the weights ({lacking[0]}) cannot be had: {why}")


def _fetch(hosted: Hosted, files: Sequence[str]) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()  # as `models.load.quiet` does; stages have a display of their own
    return Path(
        snapshot_download(
            hosted.name,
            repo_type=hosted.kind,
            revision=hosted.commit or hosted.revision,
            allow_patterns=[glob.escape(file) for file in files],
            endpoint=constants.ENDPOINT,
            cache_dir=constants.HF_HUB_CACHE,
        )
    )


@contextlib.contextmanager
def _explained(shown: str, hosted: Hosted) -> Generator[None]:
    """Turn what goes wrong while files are fetched into one message."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except (HfHubHTTPError, _client_error(), OSError, ValueError) as error:
        if _is_of_this_disk(error):
            raise
        cause = error.__cause__ if isinstance(error.__cause__, HfHubHTTPError) else error
        why = _refusal(cause, hosted.name, hosted.kind, hosted.commit)
        raise InputError(f"{shown}: {why}") from error


def _is_of_this_disk(error: Exception) -> bool:
    named = isinstance(error, OSError) and error.errno is not None and error.filename is not None
    return named and not isinstance(error, ConnectionError)


def upload(folder: Path, name: str, kind: Kind, public: bool, message: str) -> str:
    """Upload a folder as a repository of its own, and return the address of its page.

    Parameters
    ----------
    folder
        What to upload; it holds `RECORD`, by which a repository is known to be ours.
    name
        OWNER/NAME.
    kind
        What it holds.
    public
        Whether a new repository can be read by anybody.
    message
        Of the commit.

    Raises
    ------
    InputError
        If there is no token, it lacks the right, the hub is out of reach, or the repository holds
        something else.
    """
    from huggingface_hub import HfApi, constants, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils import validate_repo_id

    shown = f"--upload {name[:200]}"
    log_in = "log in with a token that may write (`hf auth login`, or HF_TOKEN)"
    if name.count("/") != 1:
        raise InputError(f"{shown}: write OWNER/NAME")
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise InputError(f"{shown}: is no id of a {kind} of the hub: {error}") from error
    if constants.HF_HUB_OFFLINE:
        raise InputError(f"{shown}: HF_HUB_OFFLINE is set: unset it; {folder} is kept")
    token = get_token()
    if token is None:
        raise InputError(f"{shown}: there is no token: {log_in}; {folder} is kept")
    api = HfApi(endpoint=constants.ENDPOINT, token=token)
    try:
        rights = _rights(token)
        if rights == "read":
            raise InputError(f"{shown}: the token may only read: {log_in}; {folder} is kept")
        if not api.repo_exists(name, repo_type=kind):
            api.create_repo(name, repo_type=kind, private=not public)
        elif not api.file_exists(name, RECORD, repo_type=kind):
            raise InputError(
                f"{shown}: there is such a {kind}, and biasloop did not upload it: take another "
                f"name; {folder} is kept"
            )
        api.upload_folder(repo_id=name, folder_path=folder, repo_type=kind, commit_message=message)
    except (HfHubHTTPError, _client_error(), OSError, ValueError, RuntimeError) as error:
        if _is_of_this_disk(error):
            raise
        status = getattr(getattr(error, "response", None), "status_code", 0)
        why = {
            401: f"the token is not valid, or has run out: {log_in}",
            403: f"the token lacks the right to write there: {log_in}, as somebody who may",
            409: f"there is such a {kind}, which the token may not see: take another name",
        }.get(status)
        if why is None:
            out = isinstance(error, (_client_error(), OSError)) and not status
            why = _out_of_reach(error) if out else f"the hub refuses it: {str(error)[:300]}"
        raise InputError(f"{shown}: {why}; {folder} is kept") from error
    return page_of(name, kind)


def _rights(token: str) -> str:
    """Ask, with little patience, what a token may do: ``read``, ``write`` or ``fineGrained``."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    found = get_session().get(
        f"{constants.ENDPOINT}/api/whoami-v2",
        headers=build_hf_headers(token=token),
        timeout=PATIENCE,
    )
    hf_raise_for_status(found)
    try:
        return str(found.json()["auth"]["accessToken"]["role"])
    except (ValueError, KeyError, TypeError):
        return ""


@contextlib.contextmanager
def without_asking(hosted: Hosted) -> Generator[None]:
    """Keep the libraries from asking a hub that is out of reach, over and over."""
    from huggingface_hub import constants

    places: list[Any] = [constants]
    if "datasets.config" in sys.modules:
        places.append(sys.modules["datasets.config"])
    before = [place.HF_HUB_OFFLINE for place in places]
    try:
        for place in places:
            place.HF_HUB_OFFLINE = place.HF_HUB_OFFLINE or not hosted.reachable
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.HF_HUB_OFFLINE = value


def switched_off() -> str:
    """Say that the hub is switched off, where it is; else nothing."""
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        return ""
    return (
        "HF_HUB_OFFLINE is set, so the hub is not asked, and there is no complete copy on this "
        "disk: unset it, or fetch the repository first where there is a network (hf download)"
    )
