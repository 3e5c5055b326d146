"""Fetches a MovieLens dataset: ``python -m scripts.fetch movielens-100k``.

It comes from GroupLens's own host. Where that host cannot be reached, movielens-100k is taken out of the
wheel of RecBole 1.2.1, which carries it: downloaded with pip, checked, unzipped, never installed.
The terminal and dataset.json say which source was used.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from models.dataset_directory import DatasetDescription
from models.errors import ConfigError
from scripts.download import Checksum, Retries, UnavailableError, download, open_client, read_text
from scripts.movielens import CATALOGUE, GROUPLENS_URL, RECBOLE_REQUIREMENT, Archive, Dataset
from scripts.terminal import complain
from scripts.terminal import run as run_command
from scripts.unpack import find_installed, install

PipDownload = Callable[[str, Path], None]
"""Downloads the wheel of one requirement, without its dependencies, into a directory."""


class Source(StrEnum):
    """Where a dataset may be taken from."""

    AUTO = "auto"
    GROUPLENS = "grouplens"
    RECBOLE = "recbole"


@dataclass(frozen=True, slots=True)
class Services:
    """What fetching reaches out to; tests pass their own."""

    catalogue: Mapping[str, Dataset]
    pip_download: PipDownload
    retries: Retries


def download_wheel(requirement: str, into: Path) -> None:
    """Lets this interpreter's pip download one wheel.

    Raises:
        UnavailableError: pip is missing, or cannot have the wheel.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(into), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, own words
    if done.returncode != 0:
        reasons = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        raise UnavailableError(f"pip download {requirement}: {reasons[-1]}")


class Fetcher:
    """Brings one dataset to one directory, and says on the console what it does."""

    def __init__(
        self, dataset: Dataset, data_dir: Path, *, base_url: str, services: Services, console: Console
    ) -> None:
        self._dataset = dataset
        self._data_dir = data_dir
        self._directory = data_dir / dataset.name
        self._base_url = base_url.rstrip("/")
        self._services = services
        self._console = console

    def run(self, source: Source, from_file: Path | None) -> None:
        """Fetches the dataset unless it is there already.

        Raises:
            FoldrecError: it cannot be had; nothing half-made is left under its name.
        """
        recbole = self._dataset.recbole
        if source is Source.RECBOLE and recbole is None:
            raise ConfigError(f"--source recbole: the RecBole wheel does not carry {self._dataset.name}")
        if source is not Source.AUTO and from_file is not None:
            raise ConfigError(f"--source {source} and --from-file {from_file}: give one of the two")
        found = find_installed(self._directory)
        if found is not None:
            self._keep(found, source)
            return
        self._data_dir.mkdir(parents=True, exist_ok=True)
        if from_file is not None:
            self._from_file(from_file)
        elif recbole is None or source is Source.GROUPLENS:
            self._from_grouplens()
        elif source is Source.RECBOLE:
            self._from_recbole(recbole)
        else:
            self._from_either(recbole)
        self._say(self._dataset.license_note)

    def _keep(self, found: DatasetDescription, source: Source) -> None:
        archive = self._dataset.grouplens if source is Source.GROUPLENS else self._dataset.recbole
        if source is not Source.AUTO and archive is not None and archive.preset != found.preset:
            raise ConfigError(
                f"--source {source}: {self._directory} was already fetched from {found.source}; "
                "remove it to fetch it from elsewhere"
            )
        self._say(f"already in {self._directory}, nothing to do (source: {found.source})")

    def _from_either(self, recbole: Archive) -> None:
        try:
            self._from_grouplens()
        except UnavailableError as error:
            self._say(f"GroupLens does not deliver: {error}")
            self._say(f"taking it out of the wheel of {RECBOLE_REQUIREMENT} instead")
            try:
                self._from_recbole(recbole)
            except UnavailableError as second:
                raise UnavailableError(f"{second}; before that, {error}") from second

    def _from_grouplens(self) -> None:
        archive = self._dataset.grouplens
        url = f"{self._base_url}/{archive.file_name}"
        archive_path = self._data_dir / archive.file_name
        self._say(f"downloading {url}")
        with open_client() as client, _progress_bar(self._console, archive.file_name) as progress:
            download(
                client,
                url,
                archive_path,
                checksum=archive.checksum or self._published_checksum(client, url),
                progress=progress,
                retries=self._services.retries,
            )
        self._install(archive_path, archive, source=url)
        archive_path.unlink()

    def _published_checksum(self, client: httpx.Client, url: str) -> Checksum:
        published = f"{url}.md5"
        return Checksum.parse_md5_file(
            read_text(client, published, retries=self._services.retries), url=published
        )

    def _from_recbole(self, archive: Archive) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            wheel = Path(scratch) / archive.file_name
            with self._console.status(f"pip download {RECBOLE_REQUIREMENT}"):
                self._services.pip_download(RECBOLE_REQUIREMENT, wheel.parent)
            if not wheel.is_file():
                raise UnavailableError(f"pip download {RECBOLE_REQUIREMENT} brought no {archive.file_name}")
            self._check(wheel, archive)
            self._install(
                wheel, archive, source=f"wheel of {RECBOLE_REQUIREMENT}, a Python package that carries it"
            )

    def _from_file(self, path: Path) -> None:
        recbole = self._dataset.recbole
        archive = recbole if recbole is not None and path.suffix == ".whl" else self._dataset.grouplens
        self._check(path, archive)
        self._install(path, archive, source=f"file {path.name}")

    def _check(self, path: Path, archive: Archive) -> None:
        if archive.checksum is None:
            self._say(f"{path.name} is not checked: its sum is only published beside it, on GroupLens's host")
        else:
            archive.checksum.check(path)

    def _install(self, archive_path: Path, archive: Archive, *, source: str) -> None:
        counts = install(archive_path, archive, self._dataset, self._directory, source=source)
        self._say(f"{counts} in {self._directory} (source: {source})")

    def _say(self, what: str) -> None:
        self._console.print(f"{self._dataset.name}: {what}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _progress_bar(console: Console, file_name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar that appears with the first byte: an unreachable host leaves no empty one."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    task = bar.add_task(file_name, total=None)

    def show(done: int, total: int | None) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()


def _command_line(services: Services) -> typer.Typer:
    def known(name: str) -> str:
        if name not in services.catalogue:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(services.catalogue)}")
        return name

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @app.command(help=__doc__)
    def _fetch(
        name: Annotated[str, typer.Argument(callback=known, help=f"One of {', '.join(services.catalogue)}.")],
        *,
        data_dir: Annotated[Path, typer.Option(help="Where the dataset's own directory is made.")] = Path(
            "data"
        ),
        source: Annotated[
            Source, typer.Option(help="auto: GroupLens, and where it cannot be reached, RecBole's wheel.")
        ] = Source.AUTO,
        from_file: Annotated[
            Path | None,
            typer.Option(
                exists=True, dir_okay=False, help="An archive downloaded by hand, instead of any source."
            ),
        ] = None,
        base_url: Annotated[str, typer.Option(hidden=True)] = GROUPLENS_URL,
    ) -> None:
        fetcher = Fetcher(
            services.catalogue[name], data_dir, base_url=base_url, services=services, console=Console()
        )
        try:
            fetcher.run(source, from_file)
        except UnavailableError as error:
            archive = services.catalogue[name].grouplens.file_name
            raise UnavailableError(
                f"{error}\nDownload {GROUPLENS_URL}/{archive} where there is a network, then: "
                f"python -m scripts.fetch {name} --from-file {archive}"
            ) from error
        except KeyboardInterrupt:
            complain("interrupted; the same command goes on where this one stopped")
            raise

    return app


def main(argv: Sequence[str] | None = None, *, services: Services | None = None) -> int:
    """Runs the command line; see `scripts.terminal.run`.

    Args:
        argv: the words after the program's name; None takes those of this process.
        services: replaces the real catalogue, pip and waits.
    """
    app = _command_line(services or Services(CATALOGUE, download_wheel, Retries()))
    return run_command(app, argv, name="scripts.fetch")


if __name__ == "__main__":
    sys.exit(main())
