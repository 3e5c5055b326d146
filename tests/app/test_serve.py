"""What the process sets up around the application."""

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from app import logs, serve

ROOT = Path(__file__).parents[2]


def test_garbage_is_collected_while_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that imported with the collector off serves with it on, what was imported left out."""
    seen = []

    def run(*_: Any, **__: Any) -> None:
        seen.append((gc.isenabled(), gc.get_freeze_count() > 0))

    monkeypatch.setattr(uvicorn, "run", run)
    monkeypatch.setattr(logs, "configure", lambda _level: None)
    monkeypatch.setattr(sys, "argv", ["app"])
    gc.disable()
    try:
        serve.main()
    finally:
        gc.enable()
        gc.unfreeze()
    assert seen == [(True, True)]


def test_importing_the_entry_point_does_nothing() -> None:
    """Only running it changes the process: an import leaves collector, environment and modules alone."""
    code = """
import gc, os, sys
import app.__main__
print(gc.isenabled(), "OPENBLAS_NUM_THREADS" in os.environ, "app.serve" in sys.modules)
"""
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False", "False"]
