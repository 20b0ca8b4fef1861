"""Which leaning a report follows, where one has to stand for all."""

from __future__ import annotations

from collections.abc import Sequence

from biasloop.config import Config
from biasloop.errors import InputError, nearest


def followed_leaning(config: Config, labels: Sequence[str]) -> str:
    """Choose the leaning that the first figure follows.

    Returns
    -------
    str
        ``config.report.leaning``; else the label most present in the pre-training mix of a model
        from scratch; else the last of the label set.

    Raises
    ------
    InputError
        If ``config.report.leaning`` is not in the label set, or that set is empty.
    """
    if not labels:
        raise InputError("the label set is empty: there is no leaning to report on")
    wanted = config.report.leaning
    if wanted is not None:
        if wanted not in labels:
            raise InputError(
                f"report.leaning: '{wanted}' is not in the label set; {nearest(wanted, labels)}"
            )
        return wanted
    mix = config.base.scratch.pretraining.mix if config.base.model == "scratch" else {}
    known = {label: share for label, share in mix.items() if label in labels}
    if known and len(set(known.values())) > 1:
        return max(known, key=lambda label: known[label])
    return labels[-1]
