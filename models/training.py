"""From a dataset to a model with its evidence: fit, held-out metrics, retrieval and fold-in certificates."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits

from models.artifact import (
    ArtifactContents,
    DatasetFingerprint,
    FoldInCertificate,
    ModelCard,
    TopListsCard,
    TrainingRecord,
)
from models.errors import DataError, TrainingError
from models.fold_in import FoldIn
from models.holdout import judged
from models.index.exact import ExactIndex, inverse_norms
from models.index.planner import Queries, plan_retrieval
from models.item_map import ITEM_MAP, item_map
from models.noise import estimated_posterior
from models.registry import FAMILIES
from models.split import latest_split, random_split
from models.top_lists import TopListMaker, stored_lists
from models.types import NOBODY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydantic import JsonValue

    from models.artifact import StoredLists
    from models.dataset import Dataset
    from models.families.base import Device, Family, FamilyConfig, FittedModel, Iteration, Progress
    from models.index.certificate import RecallCertificate, Space
    from models.row_rules import Duplicates
    from models.types import BoolArray

Holdout: TypeAlias = Literal["none", "latest", "random"]

HOLDOUT_SHARE = 0.2
METRICS_K = 10
_CERTIFIED_USERS = 1_000
_FOLD_IN_TOLERANCE = 1e-3
_SAMPLED_QUERIES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """What to train and how to judge it.

    Attributes:
        family: name of the family.
        config: its hyperparameters.
        seed: of everything random: initial factors, split, samples, graphs.
        holdout: which entries of each user a second, unpublished fit is judged by: the `latest` fifth, a
            `random` fifth, or `none`.
        recall_target: recall@10 against exact search that an approximate index must reach.
        device: where to fit.
        duplicates: how the table's duplicates were merged, for serving to do the same with posted histories;
            None: as the family's rule says.
        precompute: how many items of everybody's list are made and stored, for serving to look up; 0: none.
    """

    family: str
    config: FamilyConfig
    seed: int = 0
    holdout: Holdout = "none"
    recall_target: float = 0.99
    device: Device = "cpu"
    duplicates: Duplicates | None = None
    precompute: int = 0


class Reporter:
    """Told how a training goes. This one keeps it to itself."""

    def phase(self, name: str) -> None:
        """A phase begins."""

    def iteration(self, step: Iteration) -> None:
        """An iteration of a fit has ended."""

    def advance(self, done: int, of: int) -> None:
        """Some of a phase's work is done."""


class Stopwatch:
    """Seconds by phase, in the order of the phases.

    Args:
        reporter: told when a phase begins.
    """

    def __init__(self, reporter: Reporter | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self.reporter = reporter or Reporter()
        self._since = time.perf_counter()
        self._phase: str | None = None

    def begin(self, name: str) -> None:
        """One phase ends, if there was one, and another begins."""
        self.stop()
        self.reporter.phase(name)
        self._phase = name

    def stop(self) -> None:
        """The phase ends, and nothing is timed until another begins."""
        now = time.perf_counter()
        if self._phase is not None:
            self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = None, now


def train(
    dataset: Dataset,
    plan: TrainingPlan,
    *,
    reporter: Reporter | None = None,
    fitted_by: Family | None = None,
    watch: Stopwatch | None = None,
) -> tuple[ArtifactContents, ModelCard]:
    """Fit a model on the whole dataset and collect the evidence that it is good.

    Args:
        dataset: the interactions; may be memory-mapped.
        plan: what to train.
        reporter: told how it goes.
        fitted_by: what fits the plan's family, such as a cluster; None: the family itself, here.
        watch: has timed what came before; what it shows is recorded with the model.

    Returns:
        What `models.artifact.publish` takes.

    Raises:
        DataError, ConfigError, TrainingError: see `models.families.base.Family.fit`.
    """
    family = fitted_by or FAMILIES[plan.family].make(plan.config)
    family.check(dataset, device=plan.device)
    watch = watch or Stopwatch()
    watch.reporter = reporter = reporter or Reporter()
    metrics: dict[str, JsonValue] = {}
    if plan.holdout != "none":
        watch.begin("holdout")
        metrics = _holdout_metrics(family, dataset, plan, reporter.iteration)
    watch.begin("fit")
    model = _fit(family, dataset, plan, partial(_until_the_closing_sweep, watch))
    watch.begin("index")
    retrieval, graphs = plan_indexes(model, dataset, plan, reporter)
    watch.begin("certify fold-in")
    with threadpool_limits(limits=1, user_api="blas"):  # row by row: threads would wait for each other
        fold_in = certify_fold_in(model, dataset, np.random.default_rng(plan.seed))
    if fold_in.max_relative_difference > _FOLD_IN_TOLERANCE:
        raise TrainingError(
            f"folding users in misses their stored factors by {fold_in.max_relative_difference:.1e}: the row "
            "problem is ill-conditioned; raise the regularization, or check the table for extreme values"
        )
    watch.begin("estimate noise")
    with threadpool_limits(limits=1, user_api="blas"):
        posterior = estimated_posterior(
            model.items, model.rule, FoldIn(model.items, model.rule), dataset.histories
        )
    top_lists = None
    if plan.precompute:
        watch.begin("top lists")
        top_lists = _top_lists(model, dataset, plan.precompute, reporter.advance)
    watch.begin("describe")
    described = fingerprint(dataset)
    popularity = dataset.popularity()
    places = item_map(model.rule.without_bias(model.items.factors), popularity)
    watch.stop()
    contents = ArtifactContents(
        users=dataset.users,
        items=dataset.items,
        user_factors=model.user_factors,
        item_factors=model.items.factors,
        histories=dataset.histories if model.rule.timed else replace(dataset.histories, times=None),
        popularity=popularity,
        item_arrays={**model.items.arrays, ITEM_MAP: places},
        top_lists=top_lists,
        metadata=dataset.metadata,
        graphs=graphs,
    )
    card = ModelCard(
        family=plan.family,
        config=plan.config.model_dump(mode="json"),
        row_rule=model.rule if plan.duplicates is None else model.rule.with_duplicates(plan.duplicates),
        seed=plan.seed,
        dataset=described,
        metrics=metrics,
        retrieval=retrieval,
        fold_in=fold_in,
        noise_variance=None if posterior is None else posterior.noise_variance,
        top_lists=None if top_lists is None else _describe(top_lists),
        training=TrainingRecord(
            seconds=watch.seconds, iterations=len(model.losses), loss=tuple(model.losses)
        ),
    )
    return contents, card


def _top_lists(
    model: FittedModel, dataset: Dataset, k: int, progress: Callable[[int, int], None]
) -> StoredLists:
    maker = TopListMaker(model.rule, model.user_factors, model.items.factors)
    return stored_lists(maker, dataset.histories, min(k, len(dataset.items)), progress)


def _describe(lists: StoredLists) -> TopListsCard:
    without = int(np.count_nonzero(lists.items[:, 0] == NOBODY))
    full = int(np.count_nonzero(lists.items[:, -1] != NOBODY))
    return TopListsCard(
        k=lists.k, short=len(lists.items) - full - without, without=without, bytes=lists.nbytes
    )


def fingerprint(dataset: Dataset) -> DatasetFingerprint:
    """Which interactions these are."""
    times = dataset.timestamps
    return DatasetFingerprint(
        rows=len(dataset.histories.indices),
        users=len(dataset.users),
        items=len(dataset.items),
        first_timestamp=None if times is None else int(times.min()),
        last_timestamp=None if times is None else int(times.max()),
        sha256=dataset.sha256(),
    )


def certify_fold_in(model: FittedModel, dataset: Dataset, rng: np.random.Generator) -> FoldInCertificate:
    """Fold a sample of users in from their own histories and compare with what is stored."""
    fold_in = FoldIn(model.items, model.rule)
    n_sampled = min(_CERTIFIED_USERS, len(dataset.users))
    users = np.sort(rng.choice(len(dataset.users), n_sampled, replace=False)).astype(np.int32)
    stored = model.user_factors[users]
    folded = np.stack([fold_in.solve(dataset.histories.only(user)).vector for user in users])
    difference = np.abs(folded - stored)
    norms = np.maximum(np.linalg.norm(stored, axis=1), np.finfo(np.float32).tiny)
    index = ExactIndex(model.items.factors)
    seen = [dataset.histories.row(user)[0] for user in users.tolist()]
    lists = [index.search_many(model.rule.query(side), METRICS_K, seen) for side in (folded, stored)]
    overlaps = [
        np.isin(ours, theirs).mean() if len(theirs) else 1.0
        for (ours, _), (theirs, _) in zip(*lists, strict=True)
    ]
    return FoldInCertificate(
        sample_size=n_sampled,
        max_abs_difference=float(difference.max()),
        max_relative_difference=float((np.linalg.norm(folded - stored, axis=1) / norms).max()),
        top_k_overlap=float(np.mean(overlaps)),
        k=METRICS_K,
    )


def plan_indexes(
    model: FittedModel, dataset: Dataset, plan: TrainingPlan, reporter: Reporter
) -> tuple[dict[str, RecallCertificate], dict[str, Callable[[Path], None]]]:
    """Certificates and graph writers of the two retrievals: `recommend` and `similar`."""
    rng = np.random.default_rng(plan.seed)
    users = np.flatnonzero(dataset.histories.lengths).astype(np.int32)
    users = rng.permutation(users)[:_SAMPLED_QUERIES]
    for_users = Queries(
        model.rule.query(model.user_factors[users]),
        [dataset.histories.row(user)[0] for user in users.tolist()],
    )
    factors = model.rule.without_bias(model.items.factors)
    scale = inverse_norms(factors)
    items = rng.permutation(np.flatnonzero(scale).astype(np.int32))[:_SAMPLED_QUERIES]
    for_items = Queries(
        factors[items] * scale[items, np.newaxis], [items[n : n + 1] for n in range(len(items))]
    )
    certificates: dict[str, RecallCertificate] = {}
    graphs: dict[str, Callable[[Path], None]] = {}
    spaces: dict[str, tuple[ExactIndex, Queries, tuple[Space, ...]]] = {
        "recommend": (ExactIndex(model.items.factors), for_users, ("inner_product", "augmented_l2")),
        "similar": (ExactIndex(factors, scale), for_items, ("cosine",)),
    }
    for name, (exact, queries, candidates) in spaces.items():
        certificates[name], graph = plan_retrieval(
            exact,
            queries,
            candidates,
            target=plan.recall_target,
            seed=plan.seed,
            threads=os.cpu_count() or 1,
            announce=partial(_announce_index, reporter, name),
            progress=reporter.advance,
        )
        if graph is not None:
            graphs[name] = graph.save
    return certificates, graphs


def _announce_index(reporter: Reporter, name: str, what: str) -> None:
    reporter.phase(f"index {name}: {what}")


def _fit(family: Family, dataset: Dataset, plan: TrainingPlan, progress: Progress) -> FittedModel:
    return family.fit(dataset, rng=np.random.default_rng(plan.seed), progress=progress, device=plan.device)


def _until_the_closing_sweep(watch: Stopwatch, step: Iteration) -> None:
    """What a fit does after its last iteration is a phase of its own."""
    watch.reporter.iteration(step)
    if step.number == step.of:
        watch.begin("closing sweep")


def _holdout_metrics(
    family: Family, dataset: Dataset, plan: TrainingPlan, progress: Progress
) -> dict[str, JsonValue]:
    """Fit once more without the held-out entries, and judge that model by them.

    Raises:
        DataError: nobody has enough entries to hold one out.
    """
    test = _held_out(dataset, plan)
    if not test.any():
        raise DataError(
            f"nobody has the {round(1 / HOLDOUT_SHARE)} interactions of which one can be held out; "
            "use --holdout none"
        )
    training, hidden = dataset.with_entries(~test), dataset.with_entries(test).histories
    model = _fit(family, training, plan, progress)
    metrics = judged(model, training, hidden, METRICS_K)
    return {"holdout": plan.holdout, "share": HOLDOUT_SHARE, **metrics}


def _held_out(dataset: Dataset, plan: TrainingPlan) -> BoolArray:
    if plan.holdout == "latest":
        return latest_split(dataset, HOLDOUT_SHARE)
    return random_split(dataset, HOLDOUT_SHARE, np.random.default_rng(plan.seed))
