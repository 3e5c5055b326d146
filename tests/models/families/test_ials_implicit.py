"""iALS by the `implicit` package: against that package, and against the dense objective."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from implicit.als import AlternatingLeastSquares
from numpy.testing import assert_allclose
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from models.errors import ConfigError
from models.families.ials_implicit import IALSImplicit, IALSImplicitConfig
from models.principal_axes import principal_axes
from tests import reference
from tests.models.strategies import clustered_table, make_dataset


@pytest.fixture(scope="module")
def table():
    """120 users × 90 items of clustered ratings."""
    return clustered_table(120, 90, 4, np.random.default_rng(0))


@pytest.fixture(scope="module")
def dataset(table):
    """The table as a dataset."""
    return make_dataset(table)


def fit(dataset):
    """A fit with seed 0."""
    config = IALSImplicitConfig(factors=8, regularization=0.5)
    return IALSImplicit(config).fit(dataset, rng=np.random.default_rng(0))


def implicit_twin(dataset, confidence):
    """`implicit`'s own model of the same table and seed as `fit` uses."""
    table = csr_matrix((confidence, dataset.histories.indices, dataset.histories.indptr), shape=dataset.shape)
    with threadpool_limits(limits=1, user_api="blas"):
        twin = AlternatingLeastSquares(
            factors=8,
            regularization=0.5,
            alpha=1.0,
            iterations=15,
            random_state=int(np.random.default_rng(0).integers(2**31)),
        )
        twin.fit(table, show_progress=False)
    return twin, table


def test_it_agrees_with_implicits_recalculate_user_and_recommend_order(dataset):
    """Our closing sweep is `implicit`'s own recalculation of every user and ranks items in its order."""
    model = fit(dataset)
    twin, table = implicit_twin(dataset, dataset.histories.values)
    users = np.arange(len(dataset.users))
    recalculated = twin.recalculate_user(users, table)
    axes = principal_axes(twin.item_factors)  # in which ours are
    assert_allclose(model.items.factors, twin.item_factors @ axes, rtol=1e-5, atol=1e-5)
    assert_allclose(
        model.user_factors, recalculated @ axes, rtol=2e-3, atol=2e-3
    )  # theirs is a float32 solution
    theirs, _ = twin.recommend(users, table, N=10, filter_already_liked_items=True, recalculate_user=True)
    scores = model.user_factors @ model.items.factors.T
    for user in users:
        ours = reference.top_k(scores[user], 10, dataset.histories.row(user)[0])
        gaps = np.abs(np.diff(scores[user][ours]))
        if gaps.min() > 1e-4:  # closer neighbours may change places within float32
            assert theirs[user].tolist() == ours


def test_it_ends_where_no_single_row_can_improve(table, dataset):
    """The user sweep minimizes the implicit objective: moving any user's row only raises it."""
    model = fit(dataset)
    confidence = np.nan_to_num(table)
    users, items = model.user_factors.astype(float), model.items.factors.astype(float)
    least = reference.implicit_objective(confidence, users, items, 0.5)
    rng = np.random.default_rng(9)
    for _ in range(30):
        step = users + 1e-2 * rng.normal(size=users.shape)
        assert reference.implicit_objective(confidence, step, items, 0.5) > least


class OnDevice:
    """A matrix that has to be fetched from a device, as those of `implicit.gpu` have."""

    def __init__(self, array):
        self._array = array

    def to_numpy(self):
        """The matrix in the host's memory."""
        return self._array.copy()


def test_what_a_gpu_trained_is_treated_like_what_the_cpu_trained(dataset, monkeypatch):
    """Factors that lie on a device end in the same model: fetched, and swept by our own solver.

    A stand-in for the device: there is none where tests run.
    """

    def trainer(*, use_gpu, **options):
        assert use_gpu
        model = AlternatingLeastSquares(use_gpu=False, **options)
        trained = model.fit

        def fit_on_device(*args, **keywords):
            trained(*args, **keywords)
            model.item_factors = OnDevice(model.item_factors)

        model.fit = fit_on_device
        return model

    expected = fit(dataset)
    monkeypatch.setattr("implicit.gpu.HAS_CUDA", True)
    monkeypatch.setattr("models.families.ials_implicit.AlternatingLeastSquares", trainer)
    config = IALSImplicitConfig(factors=8, regularization=0.5)
    found = IALSImplicit(config).fit(dataset, rng=np.random.default_rng(0), device="cuda")
    assert_allclose(found.items.factors, expected.items.factors, rtol=1e-6)  # the same trainer twice
    assert_allclose(found.user_factors, expected.user_factors, rtol=1e-6)


@pytest.mark.parametrize(
    ("has_rmm", "extension", "reason"),
    [
        (False, None, "rmm-cu13 is not installed"),
        (True, None, "'implicit.gpu._cuda'|import of implicit.gpu._cuda"),
        (True, "driver version is insufficient", "driver version is insufficient"),
    ],
)
def test_the_error_says_what_keeps_the_gpu_from_use(dataset, monkeypatch, has_rmm, extension, reason):
    """A missing package, an extension that does not load and a missing driver are told apart."""

    def no_devices():
        raise RuntimeError(extension)

    monkeypatch.setattr("implicit.gpu.HAS_CUDA", False)
    monkeypatch.setattr("implicit.gpu.HAS_RMM", has_rmm)
    loaded = None if extension is None else SimpleNamespace(get_device_count=no_devices)
    monkeypatch.setitem(sys.modules, "implicit.gpu._cuda", loaded)
    with pytest.raises(ConfigError, match=reason):
        IALSImplicit(IALSImplicitConfig()).check(dataset, device="cuda")
