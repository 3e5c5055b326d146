"""Thin command lines: each module is a ``main(argv) -> int``."""
