"""The first model is loaded early, and is still the one that `CURRENT` names when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app import snapshot
from app.early import LoadedEarly
from models.errors import NoArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_first_caller_gets_what_was_loaded_early(
    tmp_path: Path, publish_small: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is loaded once, before anybody asks; a second caller has the artifact opened again."""
    version = publish_small(tmp_path)
    loads = []
    load = snapshot.load
    monkeypatch.setattr(snapshot, "load", lambda root: loads.append(root) or load(root))
    early = LoadedEarly(tmp_path)
    assert early(tmp_path).version == version
    assert loads == [tmp_path]
    assert early(tmp_path).version == version
    assert loads == [tmp_path] * 2


def test_a_version_published_meanwhile_is_loaded_instead(
    tmp_path: Path, publish_small: Callable[..., str]
) -> None:
    """What was current when the process started is not served where something else is by now."""
    publish_small(tmp_path)
    early = LoadedEarly(tmp_path)
    early._thread.join()
    newer = publish_small(tmp_path)
    assert early(tmp_path).version == newer


def test_a_load_that_failed_is_tried_again(tmp_path: Path, publish_small: Callable[..., str]) -> None:
    """Whoever asks hears of the error, unless the reason for it has gone."""
    with pytest.raises(NoArtifactError):
        LoadedEarly(tmp_path / "none")(tmp_path / "none")
    early = LoadedEarly(tmp_path / "later")
    early._thread.join()
    version = publish_small(tmp_path / "later")
    assert early(tmp_path / "later").version == version
