"""What the driver holds: it grows with ids and items, not with user factors. This needs no cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FACTORS, ITEMS, PER_USER = 64, 300, 8
PROGRAM = """
import json, sys, threading
from pathlib import Path
import numpy as np, polars as pl
from models.artifact import publish
from models.artifact.manifest import FoldInCertificate
from models.dataset import Dataset
from models.engines.spark.fit import sweep_by_blocks
from models.engines.spark.numbered import _histories, new_array
from models.engines.spark.table import SparkInteractions
from models.families.base import FittedModel
from models.ids import IdMap
from models.registry import configure
from models.row_rules import FixedSide, SparkImplicitRule
from models.training import TrainingPlan, train

directory, n_users, factors, n_items, per_user = Path(sys.argv[1]), *map(int, sys.argv[2:])
rule = SparkImplicitRule(alpha=1, regularization=0.1)
items = FixedSide(np.random.default_rng(0).normal(size=(n_items, factors)).astype(np.float32))

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("RssAnon")))

def write_parts(path):
    path.mkdir()
    rng = np.random.default_rng(1)
    for number, first in enumerate(range(0, n_users, 10_000)):
        users = np.repeat(np.arange(first, min(first + 10_000, n_users), dtype=np.int32), per_user)
        start = rng.integers(0, n_items - per_user, len(users) // per_user, dtype=np.int32)
        entries = (start[:, None] + np.arange(per_user, dtype=np.int32)).ravel()
        frame = pl.DataFrame({"user": users, "item": entries, "value": np.ones(len(users), np.float32)})
        frame.write_parquet(path / f"part-{number:05}.parquet")
    return path

class Fitted:
    # What SparkFit does once it has the items.
    def check(self, dataset, *, device="cpu"):
        pass
    def fit(self, dataset, *, rng, progress=None, device="cpu"):
        users = new_array(directory / "users.npy", np.float32, (len(dataset.users), factors))
        sweep_by_blocks(rule, dataset.histories, items, users, block=8_192)
        return FittedModel(rule, users, items, [])

entries = write_parts(directory / "entries")
users = IdMap.build(f"u{number}" for number in range(n_users))
item_ids = IdMap.build(f"i{number}" for number in range(n_items))
table = SparkInteractions(None, n_users * per_user, has_values=False, has_times=False, report=None)
peak, before = 0, anonymous()
done = threading.Event()
def look():
    global peak
    while not done.wait(0.002):
        peak = max(peak, anonymous())
thread = threading.Thread(target=look)
thread.start()
histories = _histories(directory, entries, n_users, table)
dataset = Dataset(users, item_ids, histories, has_values=False)
plan = TrainingPlan(family="spark_ials", config=configure("spark_ials", {"factors": factors}))
publish(directory / "artifacts", *train(dataset, plan, fitted_by=Fitted()))
done.set()
thread.join()
print(json.dumps({"grown": peak - before}))
"""


def grown(directory, n_users):
    """By how many bytes memory, mapped files aside, grew from parts on disk to a published artifact."""
    directory.mkdir()
    numbers = [str(number) for number in (n_users, FACTORS, ITEMS, PER_USER)]
    words = [sys.executable, "-c", PROGRAM, str(directory), *numbers]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])["grown"]


def test_user_factors_are_never_all_in_memory(tmp_path):
    """Ten times the users, whose factors and histories are mapped, take little more memory than a few do."""
    few, many = 40_000, 400_000
    small, large = grown(tmp_path / "few", few), grown(tmp_path / "many", many)
    factors = (many - few) * FACTORS * 4
    # A few arrays have 8 bytes for every user, such as row pointers; factors have 256.
    assert large - small < factors / 3
