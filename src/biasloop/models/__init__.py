"""Load a causal language model, or build one from scratch."""
