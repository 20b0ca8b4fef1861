"""Why a model or data set of the Hugging Face hub cannot be had, told before it is fetched."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from biasloop.errors import InputError

#: Seconds that the hub may take to answer the one question that is put to it first.
PATIENCE = 8.0

Kind = Literal["model", "dataset"]


def check_hub(shown: str, name: str, kind: Kind, revision: str | None = None) -> None:
    """Ask the hub once whether it gives a repository out, to say why not in words.

    transformers and datasets ask again and again where a host does not answer, and tell a gated
    repository from a missing one only deep in their traces. Nothing is asked where the hub is
    switched off; a host out of reach is no matter where there is a copy on this disk.

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
        If it is gated, private, missing or without that revision, or the hub is out of reach.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import (
        DisabledRepoError,
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if constants.HF_HUB_OFFLINE:
        return
    page = f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{name}"
    file = "README.md" if kind == "dataset" else "config.json"
    log_in = "log in (`hf auth login`, or a token in HF_TOKEN)"
    try:
        url = hf_hub_url(name, file, repo_type=kind, revision=revision, endpoint=constants.ENDPOINT)
        get_hf_file_metadata(url, timeout=PATIENCE)
        return
    except EntryNotFoundError:  # the repository is there, and needs no such file
        return
    except GatedRepoError as error:  # is a RepositoryNotFoundError, too
        raise InputError(
            f"{shown}: this {kind} is gated: accept its licence at {page} and {log_in}"
        ) from error
    except RevisionNotFoundError as error:
        raise InputError(
            f"{shown}: the hub has this {kind}, but no revision '{revision or 'main'}' of it: "
            f"{page}/commits/main lists those there are"
        ) from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"{shown}: the hub ({constants.ENDPOINT}) has no such {kind}, or it is private: is "
            f"'{name}' spelt right? For a private one, {log_in}"
        ) from error
    except DisabledRepoError as error:
        raise InputError(f"{shown}: the hub has disabled this {kind}: see {page}") from error
    except HFValidationError as error:
        raise InputError(f"{shown}: '{name[:200]}' is no id of a {kind} of the hub") from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise InputError(
                f"{shown}: the hub refuses access to this {kind} (HTTP {status}): {log_in} as "
                f"somebody who may read {page}; a token that is set may have run out"
            ) from error
        if not has_copy(name, kind):
            raise InputError(
                f"{shown}: the hub ({constants.ENDPOINT}) answers with HTTP {status}: try again "
                "later"
            ) from error
    except (_client_error(), OSError) as error:
        if not has_copy(name, kind):
            raise InputError(
                f"{shown}: it is not on this disk, and the hub ({constants.ENDPOINT}) is out of "
                f"reach ({type(error).__name__}): is there a network, and are HF_ENDPOINT and "
                "the proxy settings right?"
            ) from error


def _client_error() -> type[Exception]:
    """Give the error of the client that huggingface_hub asks with; older ones ask with httpx."""
    name = "httpx2" if find_spec("httpx2") else "httpx"
    return import_module(name).HTTPError


def has_copy(name: str, kind: Kind) -> bool:
    """Tell whether something of a repository was fetched to this disk before."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type=kind)
    return (folder / "snapshots").is_dir()


def switched_off() -> str:
    """Say that the hub is switched off, where it is; else nothing."""
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        return ""
    return (
        "HF_HUB_OFFLINE is set, so the hub is not asked, and there is no complete copy on this "
        "disk: unset it, or fetch the repository first where there is a network (hf download)"
    )
