"""Labelled real articles: from any supported source to checked, disjoint parts."""

from biasloop.corpus.delimited import read_delimited
from biasloop.corpus.load import BAD_ROWS, Corpus, fingerprint, load_corpus, read_unlabelled
from biasloop.corpus.split import PARTED_ARTICLES, PARTS, fresh_part, repeated_texts, split_parts

__all__ = [
    "BAD_ROWS",
    "PARTED_ARTICLES",
    "PARTS",
    "Corpus",
    "fingerprint",
    "fresh_part",
    "load_corpus",
    "read_delimited",
    "read_unlabelled",
    "repeated_texts",
    "split_parts",
]
