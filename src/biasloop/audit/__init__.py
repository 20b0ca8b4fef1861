"""Before training: how far a synthetic set leans already, and how much real data holds it."""

from biasloop.audit.audit import LEANS, Audit, audit
from biasloop.audit.needed import ASSUMPTIONS, NEEDED, needed_real_share, needed_table, next_shares
from biasloop.audit.unpaired import mean_difference, share_difference

__all__ = [
    "ASSUMPTIONS",
    "LEANS",
    "NEEDED",
    "Audit",
    "audit",
    "mean_difference",
    "needed_real_share",
    "needed_table",
    "next_shares",
    "share_difference",
]
