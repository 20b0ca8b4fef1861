"""Train longer, without weight decay, on what the generation before wrote."""

from biasloop.regimes.synthetic import Synthetic


class Overfitting(Synthetic):
    """As synthetic, trained far longer and without weight decay (section 4.4).

    The config's defaults for this kind are the paper's 25 epochs and no weight decay.
    """
