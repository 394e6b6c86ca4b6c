"""Benchmarks whose output is committed under ``docs/``; run them with ``make bench``."""
