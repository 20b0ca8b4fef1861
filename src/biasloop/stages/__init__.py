"""Fine-tune, generate, project an update: each a pure function of its inputs and a seed."""
