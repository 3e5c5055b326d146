"""Whatever happens to a publisher, the version served so far stays whole and current."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from models.artifact import current_version, open_artifact, prune, publish, versions
from models.errors import ArtifactError, NoArtifactError
from tests.models.artifact.sample import SCRATCH, sample_card, sample_contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).parents[3]
CONTENTS = sample_contents()
CARD = sample_card(CONTENTS)


@pytest.fixture
def root() -> Iterator[Path]:
    """An empty directory of artifacts."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as directory:
        root = Path(directory) / "artifacts"
        root.mkdir()
        yield root


@pytest.fixture
def publisher(root: Path) -> Iterator[Callable[[str], str]]:
    """A process that publishes in `root` on request; see its module."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.models.artifact.publisher", str(root)],
        cwd=REPOSITORY,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def ask(request: str) -> str:
            stdin.write(f"{request}\n")
            stdin.flush()
            return stdout.readline().strip()

        yield ask
        stdin.close()
    assert process.returncode == 0


def names(root: Path) -> list[str]:
    """Everything in a directory, hidden things included."""
    return sorted(path.name for path in root.iterdir())


def test_killed_at_every_file_operation(root: Path, publisher: Callable[[str], str]) -> None:
    """SIGKILL at the n-th file operation, for every n until none is left.

    After each: the current version opens, and is the old one unless CURRENT itself was reached; every
    version that can be seen opens; the next publication succeeds and leaves nothing of the dead one's work.
    """
    old = publish(root, CONTENTS, CARD)
    outcomes = []
    for number in range(1, 1000):
        answer = publisher(f"kill {number}")
        current = current_version(root)
        outcomes.append((answer, current == old))
        assert answer in ("killed", "published")
        for version in versions(root):
            open_artifact(root / version)
        if answer == "killed":
            assert current == old or number > 10, "a new version cannot be current before it is written"
        old = publish(root, CONTENTS, CARD)
        assert current_version(root) == old
        assert names(root) == sorted([".lock", "CURRENT", *versions(root)])
        prune(root, keep=1)
        assert names(root) == sorted([".lock", "CURRENT", old])
        if answer == "published":
            break
    kills = [old_stands for answer, old_stands in outcomes if answer == "killed"]
    assert outcomes[-1] == ("published", False)
    # Some kills fell before, and some after, the moment that makes the new version current; never in turns.
    assert kills == sorted(kills, reverse=True)
    assert kills.count(True) > 40
    assert kills.count(False) >= 1


def test_the_first_publication_ever_is_killed(root: Path, publisher: Callable[[str], str]) -> None:
    """With nothing published before, a reader is told so until there is a whole version."""
    number, answer = 0, ""
    while answer != "published":
        number += 1
        answer = publisher(f"kill {number}")
        try:
            open_artifact(root / current_version(root))
        except NoArtifactError:
            assert answer == "killed"
        for path in root.iterdir():
            if path.is_dir() and not path.name.startswith("."):
                open_artifact(path)
        if answer == "killed" and (root / "CURRENT").exists():
            break
    assert number > 40


def test_everything_reaches_the_disk_before_the_name_that_shows_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a power cut: files, their directory, its name in the root, then CURRENT and its name.

    A rename that reaches the disk before the content it shows would leave a version of empty files.
    """
    log: list[tuple[str, int]] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def logged_fsync(descriptor: int) -> None:
        log.append(("sync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def logged_rename(source: Path, target: Path) -> None:
        log.append(("rename", source.stat().st_ino))
        rename(source, target)

    def logged_replace(source: Path, target: Path) -> None:
        log.append(("replace", source.stat().st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(os, "rename", logged_rename)
    monkeypatch.setattr(os, "replace", logged_replace)
    version = root / publish(root, CONTENTS, CARD)
    inode = {path: path.stat().st_ino for path in (root, version, root / "CURRENT", *version.iterdir())}
    renamed = log.index(("rename", inode[version]))
    replaced = log.index(("replace", inode[root / "CURRENT"]))
    before_rename = log[:renamed]
    for path in version.iterdir():
        assert ("sync", inode[path]) in before_rename
    last_file = max(before_rename.index(("sync", inode[path])) for path in version.iterdir())
    assert ("sync", inode[version]) in before_rename[last_file:]
    assert ("sync", inode[root]) in log[renamed:replaced]
    assert ("sync", inode[root / "CURRENT"]) in log[renamed:replaced]
    assert ("sync", inode[root]) in log[replaced:]


@pytest.mark.parametrize("number", [10, 30, 60])
def test_two_writers_at_once(root: Path, publisher: Callable[[str], str], number: int) -> None:
    """While one process publishes, another is told which process it is; when that dies, the lock is gone."""
    old = publish(root, CONTENTS, CARD)
    answer, pid = publisher(f"stop {number}").split()
    assert answer == "stopped"
    try:
        before = names(root)
        with pytest.raises(ArtifactError, match=rf"process {pid} on .* is writing here; wait"):
            publish(root, CONTENTS, CARD)
        with pytest.raises(ArtifactError, match=rf"process {pid} on .* is writing here"):
            prune(root, keep=1)
        assert names(root) == before
        assert current_version(root) == old
        open_artifact(root / old)
    finally:
        os.kill(int(pid), signal.SIGKILL)
    published = publish_when_free(root)
    assert current_version(root) == published
    assert names(root) == sorted([".lock", "CURRENT", old, published])


def publish_when_free(root: Path) -> str:
    """Publish, waiting for whoever holds the lock."""
    while True:
        try:
            return publish(root, CONTENTS, CARD)
        except ArtifactError as error:
            if "is writing here" not in str(error):
                raise
            time.sleep(0.005)


def test_readers_always_find_a_whole_version(root: Path) -> None:
    """Writers that compete and prune, and a reader that never pauses: every look succeeds."""
    first = publish(root, CONTENTS, CARD)
    published: list[str] = []
    seen: set[str] = set()
    writers = [
        threading.Thread(target=lambda: published.extend([publish_when_free(root) for _ in range(5)]))
        for _ in range(3)
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        artifact = open_artifact(root / current_version(root))
        seen.add(artifact.manifest.model_version)
    assert len(set(published)) == len(published) == 15
    assert versions(root) == sorted([first, *published])
    assert seen <= {first, *published}
    assert current_version(root) in published


@pytest.mark.parametrize("limit", [0, 100, 500, 1500, 4000, 5000])
def test_a_full_disk(root: Path, publisher: Callable[[str], str], limit: int) -> None:
    """A write that fails, wherever it is, leaves the old version current and nothing of the new one."""
    old = publish(root, CONTENTS, CARD)
    answer = publisher(f"limit {limit}")
    assert answer.startswith("ArtifactError: ")
    assert "stands; free some disk space" in answer
    assert current_version(root) == old
    open_artifact(root / old)
    assert names(root) == sorted([".lock", "CURRENT", old])
    publish(root, CONTENTS, CARD)


def test_a_root_that_may_not_be_written(root: Path, publisher: Callable[[str], str]) -> None:
    """Without permission: said so, and nothing changes."""
    old = publish(root, CONTENTS, CARD)
    root.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IRGRP | stat.S_IXGRP)
    try:
        answer = publisher("nobody 0")
    finally:
        root.chmod(0o755)
    assert answer.startswith("ArtifactError: ")
    assert "Permission denied" in answer
    assert "see who owns the directory" in answer
    assert names(root) == sorted([".lock", "CURRENT", old])


def test_a_root_that_cannot_be(tmp_path: Path) -> None:
    """A path below a file is named in the error."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"file.*Not a directory"):
        publish(tmp_path / "file" / "artifacts", CONTENTS, CARD)


def test_a_root_is_made(tmp_path: Path) -> None:
    """The first training does not need a directory to be made by hand."""
    root = tmp_path / "deep" / "artifacts"
    open_artifact(root / publish(root, CONTENTS, CARD))


def test_a_graph_that_fails_to_save_leaves_nothing(root: Path) -> None:
    """An error of the caller's own reaches the caller, and the half-written directory is gone."""

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("the index broke")

    contents = sample_contents()
    contents.graphs["recommend"] = fail  # type: ignore[index]
    with pytest.raises(RuntimeError, match="the index broke"):
        publish(root, contents, CARD)
    assert names(root) == [".lock"]


def test_what_killed_writers_left_is_removed(root: Path) -> None:
    """Files, directories and links under the writers' own prefix go; everything else stays."""
    left = root / ".writing-0123456789abcdef"
    left.mkdir()
    (left / "user_factors.npy").write_bytes(b"half")
    (root / ".writing-fedcba9876543210").write_bytes(b"half")
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_bytes(b"x")
    (root / ".writing-link").symlink_to(elsewhere)
    (root / "notes.txt").write_bytes(b"x")
    version = publish(root, CONTENTS, CARD)
    assert names(root) == sorted([".lock", "CURRENT", "notes.txt", version])
    assert names(elsewhere) == ["kept"]
