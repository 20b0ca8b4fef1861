"""What makes a processor faster: kernels and short cuts, each with a slow twin for the tests.

``BIASLOOP_FAST=0`` in the environment switches all of them off: torch's and transformers' own
layers, attention, loss, batches and ``generate`` are used. Figures: docs/speed.md.

==========  =====================================================  ===============================
module      what it does                                           its slow twin
==========  =====================================================  ===============================
linear      linear layers and their gradients by oneDNN            torch.nn.functional.linear
attention   attention in bfloat16 as matrix products               scaled_dot_product_attention
packing     a training batch as one row without padding            stages.train.collate
loss        loss and gradient piece by piece                       torch's cross_entropy
decode      a key-value cache in place, finished rows dropped      decode_by_transformers
sampling    the nucleus without a sort                             transformers' TopPLogitsWarper
==========  =====================================================  ===============================
"""

from __future__ import annotations

import os


def enabled() -> bool:
    """Whether the fast ways are used: unless ``BIASLOOP_FAST`` is 0."""
    return os.environ.get("BIASLOOP_FAST", "1") != "0"
