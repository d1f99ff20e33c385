"""Queries in other words: from the first results, the corpus' own abbreviations, its spelling, or a language model."""
