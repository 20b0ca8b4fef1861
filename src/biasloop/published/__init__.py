"""Released results of the authors' experiment, or of others in its formats, analysed as a run."""

from biasloop.published.experiment import read_published
from biasloop.published.reproduction import Reproduction, reproduce, series
from biasloop.published.write import lines, write_reproduction
