"""The generation loop as a graph of content-addressed stages: plan, execute, store."""

from biasloop.loop.artifacts import (
    ScoredSets,
    instruments_of,
    score_articles,
    score_beside_real,
    scored_by,
    weights_of,
)
from biasloop.loop.cost import estimate, gather, measure_throughput
from biasloop.loop.execute import Event, Listener, execute, silent
from biasloop.loop.plan import contents_of, make_plan
from biasloop.loop.ray_executor import execute_on_ray
from biasloop.loop.remote import Remote, is_url
from biasloop.loop.results import Results, read_results
from biasloop.loop.run import (
    Verification,
    check_folder,
    clean,
    config_hash,
    fetch,
    open_remote,
    open_run,
    read_config,
    read_contents,
    verify,
)
from biasloop.loop.store import Store, locked
