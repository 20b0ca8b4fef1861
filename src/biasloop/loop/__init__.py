"""The generation loop as a graph of content-addressed stages: plan, execute, store."""

from biasloop.loop.calibration import Speeds, calibrate
from biasloop.loop.cost import Estimate, estimate, gather
from biasloop.loop.events import Event, Listener, silent
from biasloop.loop.execute import execute, missing_stages
from biasloop.loop.mirror import fetch, open_remote
from biasloop.loop.plan import Plan, contents_of, make_plan
from biasloop.loop.ray_executor import execute_on_ray
from biasloop.loop.remote import Remote, is_url
from biasloop.loop.results import Results
from biasloop.loop.run import check_folder, config_hash, open_run, read_config, read_results
from biasloop.loop.score import (
    Judged,
    instruments_of,
    judge_articles,
    score_articles,
    scored_by,
)
from biasloop.loop.stage import Stage
from biasloop.loop.store import Store, locked
from biasloop.loop.verify import Verification, clean, verify
from biasloop.loop.weights import weights_of

__all__ = [
    "Estimate",
    "Event",
    "Judged",
    "Listener",
    "Plan",
    "Remote",
    "Results",
    "Speeds",
    "Stage",
    "Store",
    "Verification",
    "calibrate",
    "check_folder",
    "clean",
    "config_hash",
    "contents_of",
    "estimate",
    "execute",
    "execute_on_ray",
    "fetch",
    "gather",
    "instruments_of",
    "is_url",
    "judge_articles",
    "locked",
    "make_plan",
    "missing_stages",
    "open_remote",
    "open_run",
    "read_config",
    "read_results",
    "score_articles",
    "scored_by",
    "silent",
    "verify",
    "weights_of",
]
