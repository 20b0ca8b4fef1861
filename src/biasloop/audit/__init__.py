"""Before training: how far a synthetic set leans already, and how much real data holds it."""

from biasloop.audit.audit import Audit, audit
