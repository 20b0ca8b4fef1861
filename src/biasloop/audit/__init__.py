"""Before training: how far a synthetic set leans already, and how much real data holds it."""

from biasloop.audit.audit import LEANS, Audit, audit, mean_difference, share_difference
from biasloop.audit.needed import ASSUMPTIONS, NEEDED, needed_real_share, needed_table, next_shares

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
