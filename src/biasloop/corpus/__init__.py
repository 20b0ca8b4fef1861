"""Labelled real articles: from any supported source to checked, disjoint parts."""

from biasloop.corpus.corpus import BAD_ROWS, Corpus
from biasloop.corpus.delimited import read_delimited
from biasloop.corpus.fingerprint import fingerprint
from biasloop.corpus.load import load_corpus
from biasloop.corpus.split import PARTED_ARTICLES, PARTS, fresh_part, repeated_texts, split_parts
from biasloop.corpus.unlabelled import read_unlabelled

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
