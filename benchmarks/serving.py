"""Throughput of the service beside what a FastAPI service costs anyway, as ratios measured in one run.

    python -m benchmarks.serving

Every row is a real uvicorn process with one worker (httptools, uvloop, no access log) on one core, driven
over keep-alive connections from another core: by wrk if it is installed, else by a client in Python. Each
request asks for another user, or posts another history. Rounds alternate between the rows, so that whatever
else the machine does hits all of them; what is printed is the median, and ratios are medians of the rounds'
ratios. Beside requests per second stands the processor time that the server used for one request (Linux
only): on a machine with nothing else to do it is one divided by the other, on a busy one it is steadier.

Two models are trained on the first run and kept in ``--work``: iALS on a real-shaped table of
`benchmarks.synthetic`, retrieval planned and certified as in any training.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import uvicorn
import uvloop
from fastapi import FastAPI, Request, Response
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from app.schemas.requests import FoldInBody  # noqa: TC001 - FastAPI reads it at run time
from benchmarks.synthetic import generate_interactions
from models.artifact import current_version, open_artifact, publish
from models.dataset import Dataset
from models.errors import NoArtifactError
from models.ids import IdMap
from models.registry import configure
from models.row_solve import Rows
from models.training import TrainingPlan, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from models.artifact import Artifact

ITEMS, USERS, INTERACTIONS = 41_000, 30_000, 2_000_000
RETRIEVAL_FACTORS, FOLD_IN_FACTORS = 128, 64
K = 10
POSTED = 50
"""Interactions of one posted history."""
DISTINCT = 500
"""Distinct requests that are sent in turn."""
PRECOMPUTED = 100
"""Items of everybody's stored list."""
Model: TypeAlias = tuple[int, int]
HELLO, VALIDATE = "hello-world", "validate-only"


@dataclass(frozen=True, slots=True)
class Row:
    """One server, what it is, and the ratio to another that it must reach, if any."""

    name: str
    what: str
    requests: Literal["get", "post"]
    factors: int
    baseline: str
    target: float | None = None
    precompute: int = 0

    @property
    def model(self) -> Model:
        """Factors, and items of the stored lists, of the model that it serves."""
        return self.factors, self.precompute


ROWS = (
    Row(
        HELLO, "FastAPI's tutorial: async def, returns a dict; the same answer, a constant", "get", 128, HELLO
    ),
    Row("hello, one string", "the same, the dict holds one string of that length", "get", 128, HELLO),
    Row("prepared bytes", "FastAPI route that takes only Request, same answer as bytes", "get", 128, HELLO),
    Row("naive", "FastAPI route around implicit's recommend(), same factors", "get", 128, HELLO),
    Row("Foldrec GET", f"GET /recommend?user_id=…&k={K}", "get", 128, HELLO, 0.8),
    Row(
        "Foldrec GET, precomputed",
        f"the same from lists made at training (--precompute {PRECOMPUTED})",
        "get",
        128,
        HELLO,
        1.0,
        PRECOMPUTED,
    ),
    Row(
        VALIDATE,
        f"FastAPI POST that validates {POSTED} interactions, answers their number",
        "post",
        64,
        VALIDATE,
    ),
    Row("Foldrec POST", f"POST /fold-in, {POSTED} interactions, k={K}", "post", 64, VALIDATE, 0.5),
)


# The services that Foldrec is compared with


def hello(body: dict[str, Any]) -> FastAPI:
    """FastAPI's tutorial, with a body of some size."""
    app = FastAPI()

    @app.get("/recommend")
    async def root():  # type: ignore[no-untyped-def]  # noqa: ANN202 - as in the tutorial
        return body

    return app


def prepared(answer: bytes) -> FastAPI:
    """The least that a FastAPI route can do."""
    app = FastAPI()

    @app.get("/recommend")
    async def root(_: Request) -> Response:
        return Response(answer, media_type="application/json")

    return app


def naive(artifact: Artifact) -> FastAPI:
    """What one would write around `implicit` in an afternoon: dicts for ids, a CSR of what was seen."""
    from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415 - one of several servers needs it

    app = FastAPI()
    model = AlternatingLeastSquares(factors=artifact.item_factors.shape[1])
    model.user_factors = np.array(artifact.user_factors)
    model.item_factors = np.array(artifact.item_factors)
    histories = artifact.histories
    seen = csr_matrix(
        (histories.values, histories.indices, histories.indptr),
        shape=(len(artifact.users), len(artifact.items)),
    )
    item_ids = artifact.items.to_external(np.arange(len(artifact.items), dtype=np.int32))
    user_ids = artifact.users.to_external(np.arange(len(artifact.users), dtype=np.int32))
    user_rows = {user_id: row for row, user_id in enumerate(user_ids)}

    @app.get("/recommend")
    async def recommend(user_id: str, k: int = 10) -> dict[str, Any]:
        row = user_rows[user_id]
        rows, scores = model.recommend(row, seen[row], N=k)
        items = [
            {"item_id": item_ids[item], "score": float(score)}
            for item, score in zip(rows, scores, strict=True)
        ]
        return {"user_id": user_id, "items": items}

    return app


def validate() -> FastAPI:
    """A POST that does nothing but validate the body that Foldrec validates."""
    app = FastAPI()

    @app.post("/fold-in")
    async def root(body: FoldInBody):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as in the tutorial
        return {"interactions": len(body.interactions)}

    return app


def serve(row: Row, root: Path, port: int, answer: bytes) -> None:
    """Be the server of a row; returns when it is terminated."""
    match row.name:
        case "hello-world":
            app = hello(json.loads(answer))
        case "hello, one string":
            app = hello({"message": "x" * (len(answer) - len(b'{"message":""}'))})
        case "prepared bytes":
            app = prepared(answer)
        case "naive":
            app = naive(_artifact(root))
        case _:
            app = validate()
    with threadpool_limits(limits=1):
        uvicorn.run(
            app, port=port, http="httptools", loop="uvloop", ws="none", access_log=False, log_level="warning",
            server_header=False,
        )  # fmt: skip


# What they serve


def prepare(work: Path, model: Model, console: Console) -> Path:
    """Train and publish a model unless an earlier run did."""
    factors, precompute = model
    root = work / (f"{ITEMS}x{factors}" + (f"-top{precompute}" if precompute else ""))
    try:
        current_version(root)
    except NoArtifactError:
        console.print(f"training {ITEMS:,} items × {factors} factors (once) …")
        dataset = synthetic_dataset()
        config = configure("ials", {"factors": factors, "iterations": 5})
        plan = TrainingPlan(family="ials", config=config, precompute=precompute)
        publish(root, *train(dataset, plan))
    return root


@cache
def synthetic_dataset() -> Dataset:
    """A real-shaped table; items that nobody touched are left out."""
    table = generate_interactions(
        users=USERS, items=ITEMS, interactions=INTERACTIONS, rng=np.random.default_rng(0)
    )
    users, user_codes = _identified(table.users, "u")
    items, item_codes = _identified(table.items, "i")
    order = np.lexsort((item_codes, user_codes))
    indptr = np.concatenate(([0], np.cumsum(np.bincount(user_codes, minlength=len(users)))))
    histories = Rows(
        indptr.astype(np.int64), item_codes[order].astype(np.int32), table.values[order].astype(np.float32)
    )
    return Dataset(users=users, items=items, histories=histories, has_values=True)


def _identified(codes: Any, prefix: str) -> tuple[IdMap, Any]:
    distinct, positions = np.unique(codes, return_inverse=True)
    names = [f"{prefix}{code}" for code in distinct.tolist()]
    ids = IdMap.build(names)
    return ids, ids.to_internal(names, missing="raise")[positions]


def _artifact(root: Path) -> Artifact:
    return open_artifact(root / current_version(root))


def questions(artifact: Artifact, requests: Literal["get", "post"]) -> list[tuple[str, str]]:
    """Distinct requests, as path and body."""
    rng = np.random.default_rng(1)
    rows = rng.choice(len(artifact.users), DISTINCT, replace=False).astype(np.int32)
    if requests == "get":
        return [(f"/recommend?user_id={user}&k={K}", "") for user in artifact.users.to_external(rows)]
    return [("/fold-in", json.dumps({"interactions": _history(artifact, rng), "k": K})) for _ in rows]


def _history(artifact: Artifact, rng: np.random.Generator) -> list[dict[str, Any]]:
    """What one random user did, and others in addition until there are enough."""
    items: dict[int, float] = {}
    while len(items) < POSTED:
        found, values = artifact.histories.row(int(rng.integers(len(artifact.users))))
        items |= dict(zip(found.tolist(), values.tolist(), strict=True))
    chosen = list(items)[:POSTED]
    names = artifact.items.to_external(np.array(chosen, dtype=np.int32))
    return [{"item_id": name, "value": items[row]} for name, row in zip(names, chosen, strict=True)]


# Driving them


@dataclass(frozen=True, slots=True)
class Cores:
    """Where processes run: the server's core, the client's core; None where they cannot be pinned."""

    server: int | None
    client: int | None

    @classmethod
    def available(cls) -> Cores:
        """Two cores of this process, if it may choose."""
        if not hasattr(os, "sched_setaffinity"):
            return cls(None, None)
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], cores[1]) if len(cores) > 1 else cls(None, None)


def pinned(core: int | None) -> Callable[[], None]:
    """What a child process does first."""

    def pin() -> None:
        if core is not None:
            os.sched_setaffinity(0, {core})

    return pin


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time used so far, user and system; NaN where /proc does not tell."""
        stat = Path(f"/proc/{self.pid}/stat")
        if not stat.exists():
            return float("nan")
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """One row in one round."""

    rate: float
    """Requests per second."""
    cpu_microseconds: float
    """Processor time of the server for one request."""


@contextlib.contextmanager
def server(
    row: Row, root: Path, core: int | None, answer: bytes = b"", checkout: Path | None = None
) -> Iterator[Server]:
    """Run the server of a row, by the code of another checkout if one is named."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    environment = dict(os.environ)
    if row.name.startswith("Foldrec"):
        command = [sys.executable, "-m", "app"]
        environment |= {
            "FOLDREC_PORT": str(port),
            "FOLDREC_ARTIFACTS": str(root.resolve()),
            "FOLDREC_LOG_LEVEL": "warning",
        }
    else:
        command = [sys.executable, "-m", "benchmarks.serving", "--serve", row.name, str(root), str(port)]
        environment["ANSWER"] = answer.decode()
    if checkout is not None:
        environment["PYTHONPATH"] = str(checkout)
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=checkout,
        preexec_fn=pinned(core),  # noqa: PLW1509 - no threads yet
    )
    try:
        _wait_for(port, process)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None:
            raise SystemExit("a server did not start")
        time.sleep(0.05)


def by_wrk(port: int, script: Path, seconds: int, connections: int, core: int | None) -> float:
    """Requests per second by wrk."""
    done = subprocess.run(
        [
            "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}",
        ],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=pinned(core),
    ).stdout  # fmt: skip
    if "Non-2xx" in done or "Socket errors" in done:
        raise SystemExit(done)
    found = re.search(r"Requests/sec:\s+([\d.]+)", done)
    assert found is not None, done
    return float(found[1])


def lua(asked: Sequence[tuple[str, str]], path: Path) -> Path:
    """Write wrk's script: prepared requests, one picked at random each time."""
    lines = ["local requests = {}", "function init(args)"]
    for number, (target, body) in enumerate(asked, start=1):
        method, headers = ("POST", '{["Content-Type"]="application/json"}') if body else ("GET", "nil")
        arguments = f"{method!r}, {json.dumps(target)}, {headers}, {json.dumps(body)}"
        lines.append(f"requests[{number}] = wrk.format({arguments})")
    lines += ["end", f"function request() return requests[math.random({len(asked)})] end"]
    path.write_text("\n".join(lines))
    return path


class _Connection(asyncio.Protocol):
    """A keep-alive connection that asks again as soon as it is answered."""

    def __init__(self, requests: Sequence[bytes], answered: list[int]) -> None:
        self._requests = requests
        self._answered = answered
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._transport.write(random.choice(self._requests))

    def data_received(self, data: bytes) -> None:
        """Count an answer when it is complete."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        if len(body) < int(length[1]):
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(self._received.decode())
        self._answered[0] += 1
        self._received = b""
        self._ask()


def by_python(
    port: int, asked: Sequence[tuple[str, str]], seconds: int, connections: int, core: int | None
) -> float:
    """Requests per second by asyncio; this process is the client."""
    requests = [_raw(target, body) for target, body in asked]
    answered = [0]

    async def drive() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            await loop.create_connection(lambda: _Connection(requests, answered), "127.0.0.1", port)
        await asyncio.sleep(seconds)

    pinned(core)()
    started = time.perf_counter()
    uvloop.run(drive())
    return answered[0] / (time.perf_counter() - started)


def _raw(target: str, body: str) -> bytes:
    method, content = ("POST", "Content-Type: application/json\r\n") if body else ("GET", "")
    head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{content}Content-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


# The measurement


def measure(
    rows: Sequence[Row], roots: dict[Model, Path], *, rounds: int, seconds: int, connections: int, client: str
) -> dict[str, list[Sample]]:
    """Measure each row in each round."""
    cores = Cores.available()
    samples: dict[str, list[Sample]] = {row.name: [] for row in rows}
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        asked = {row.requests: questions(_artifact(roots[row.model]), row.requests) for row in rows}
        scripts = {name: lua(each, Path(scratch) / f"{name}.lua") for name, each in asked.items()}
        answer = b""
        servers: dict[str, Server] = {}
        for row in sorted(rows, key=lambda row: not row.name.startswith("Foldrec")):
            running = stack.enter_context(server(row, roots[row.model], cores.server, answer))
            servers[row.name] = running
            if row.name == "Foldrec GET":
                target = f"http://127.0.0.1:{running.port}{asked['get'][0][0]}"
                answer = urllib.request.urlopen(target, timeout=10).read()
        for number in range(rounds + 1):
            for row in rows:
                running = servers[row.name]
                before = running.cpu_seconds()
                if client == "wrk":
                    rate = by_wrk(running.port, scripts[row.requests], seconds, connections, cores.client)
                else:
                    rate = by_python(running.port, asked[row.requests], seconds, connections, cores.client)
                used = running.cpu_seconds() - before
                if number > 0:  # round 0 warms up
                    samples[row.name].append(Sample(rate, 1e6 * used / (rate * seconds)))
    return samples


def report(
    rows: Sequence[Row], roots: dict[Model, Path], samples: dict[str, list[Sample]], console: Console
) -> bool:
    """Print the table; returns whether every target holds."""
    table = Table(title="one worker on one core, medians of the rounds; ratios are to the row named last")
    for column in ("row", "what"):
        table.add_column(column)
    for column in ("requests/s", "ratio", "target", "CPU µs", "ratio"):
        table.add_column(column, justify="right")
    table.add_column("to")
    holds = True
    for row in rows:
        own, other = samples[row.name], samples[row.baseline]
        ratio = median(mine.rate / its.rate for mine, its in zip(own, other, strict=True))
        cpu_ratio = median(
            its.cpu_microseconds / mine.cpu_microseconds for mine, its in zip(own, other, strict=True)
        )
        holds &= row.target is None or ratio >= row.target
        table.add_row(
            row.name,
            row.what,
            f"{median(sample.rate for sample in own):,.0f}",
            f"{ratio:.2f}",
            "" if row.target is None else f"≥ {row.target}",
            f"{median(sample.cpu_microseconds for sample in own):.0f}",
            f"{cpu_ratio:.2f}",
            row.baseline,
        )
    console.print(table)
    for (factors, _), root in roots.items():
        artifact = _artifact(root)
        console.print(f"{len(artifact.items):,} items × {factors} factors, {len(artifact.users):,} users:")
        console.print(f"  {artifact.manifest.retrieval['recommend'].model_dump(exclude={'tried'})}")
    return holds


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether the targets hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="of one row in one round")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument(
        "--client", choices=["wrk", "python"], default="wrk" if shutil.which("wrk") else "python"
    )
    parser.add_argument("--work", type=Path, default=Path("data/benchmarks/serving"))
    parser.add_argument("--only", choices=["get", "post"])
    parser.add_argument("--serve", nargs=3, metavar=("ROW", "ARTIFACTS", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        name, root, port = options.serve
        row = next(row for row in ROWS if row.name == name)
        serve(row, Path(root), int(port), os.environ["ANSWER"].encode())
        return 0
    console = Console(width=max(120, Console().width))
    rows = [row for row in ROWS if options.only in (None, row.requests)]
    roots = {model: prepare(options.work, model, console) for model in {row.model for row in rows}}
    samples = measure(
        rows,
        roots,
        rounds=options.rounds,
        seconds=options.seconds,
        connections=options.connections,
        client=options.client,
    )
    console.print(f"client: {options.client}, {options.connections} connections, {options.rounds} rounds")
    return 0 if report(rows, roots, samples, console) else 1


if __name__ == "__main__":
    sys.exit(main())
