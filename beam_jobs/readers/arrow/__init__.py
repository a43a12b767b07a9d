"""Sequences from the tables of Apache Arrow that `parquet_reader` reads."""
