"""What the process sets up around the application."""

import gc
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import uvicorn

from app import logs, start

ROOT = Path(__file__).parents[2]


def test_process_is_set_up_when_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """It collects garbage but not what was imported, and a batch may hold the interpreter for 0.5 ms."""
    seen = []

    def run(_: uvicorn.Server, sockets: list[socket.socket]) -> None:
        seen.append((gc.isenabled(), gc.get_freeze_count() > 0, sys.getswitchinterval()))
        for each in sockets:
            each.close()

    monkeypatch.setattr(uvicorn.Server, "run", run)
    monkeypatch.setattr(logs, "configure", lambda _level: None)
    monkeypatch.setattr(sys, "argv", ["app"])
    monkeypatch.setenv("FOLDREC_PORT", "0")
    switch_interval = sys.getswitchinterval()
    gc.disable()
    try:
        start.main()
    finally:
        gc.enable()
        gc.unfreeze()
        sys.setswitchinterval(switch_interval)
    assert seen == [(True, True, pytest.approx(0.0005))]


def test_importing_the_entry_point_does_nothing() -> None:
    """Only running it changes the process: an import leaves collector, environment and modules alone."""
    code = """
import gc, os, sys
import app.__main__
print(gc.isenabled(), "OPENBLAS_NUM_THREADS" in os.environ, "app.start" in sys.modules)
"""
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False", "False"]
