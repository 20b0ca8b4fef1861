"""Labelled real articles: from any supported source to checked, disjoint parts."""
