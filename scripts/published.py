"""Published results, each with the place where it can be read, and what of ours stands beside it.

Every figure here was compared with its source. Those of a paper whose tables could not be read are left out:
there the row says where to look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

SURPRISE: Final = (
    "https://github.com/NicolasHug/Surprise/blob/3136e0a523da169d7e60420045e073bfe46bcefe/README.md"
)
"""Surprise: its models with their default parameters, random 5-fold cross-validation."""

IALS_CODE: Final = (
    "https://github.com/google-research/google-research/blob/30adf0ec5f35f9609c2f1d896005e184195d9146/"
    "ials/README.md"
)
"""The commands, with their hyperparameters, that the authors of the iALS paper give for its tables."""

IALS_PAPER: Final = "https://arxiv.org/abs/2110.14037"
"""Rendle, Krichene, Zhang, Koren: Revisiting the Performance of iALS on Item Recommendation Benchmarks."""

VASP_PAPER: Final = "https://arxiv.org/abs/2102.05774"
"""Vančura, Kordík: Deep Variational Autoencoder with Shallow Parallel Path for Top-N Recommendation.

Its table III cites Mult-VAE (Liang et al. 2018) and EASE (Steck 2019) on MovieLens 20M.
"""


@dataclass(frozen=True, slots=True)
class Ratings:
    """Errors of predicted ratings.

    Attributes:
        model: as it is called there.
        rmse: published, by data set.
        mae: published, by data set.
        ours: the family that is the same model; None where there is none.
        there: the class of Surprise, to be run on our folds where it is installed.
    """

    model: str
    rmse: dict[str, float]
    mae: dict[str, float]
    ours: str | None = None
    there: str | None = None


ML_100K, ML_1M, ML_20M = "movielens-100k", "movielens-1m", "movielens-20m"


def _ratings(
    model: str,
    small: tuple[float, float],
    large: tuple[float, float],
    ours: str | None = None,
    there: str | None = None,
) -> Ratings:
    return Ratings(
        model, {ML_100K: small[0], ML_1M: large[0]}, {ML_100K: small[1], ML_1M: large[1]}, ours, there
    )


SURPRISE_RATINGS: Final = (
    _ratings("SVD", (0.934, 0.737), (0.873, 0.686), "funk_svd", "SVD"),
    _ratings("SVD++", (0.919, 0.721), (0.862, 0.672), "svdpp", "SVDpp"),
    _ratings("NMF", (0.963, 0.758), (0.916, 0.723)),
    _ratings("Slope One", (0.946, 0.743), (0.907, 0.715)),
    _ratings("k-NN", (0.980, 0.774), (0.923, 0.727)),
    _ratings("Centered k-NN", (0.951, 0.749), (0.929, 0.738)),
    _ratings("k-NN Baseline", (0.931, 0.733), (0.895, 0.706)),
    _ratings("Co-Clustering", (0.963, 0.753), (0.915, 0.717)),
    _ratings("Baseline", (0.944, 0.748), (0.909, 0.719)),
    _ratings("Random", (1.518, 1.219), (1.504, 1.206)),
)

ONLY_OURS: Final = ("als", "timesvdpp")
"""Families that predict ratings and that Surprise does not have."""


@dataclass(frozen=True, slots=True)
class Cited:
    """A model's metrics of lists, as published.

    Attributes:
        model: as it is called there.
        metrics: by name; empty where the table could not be read to check them.
        where: the place in the source.
    """

    model: str
    metrics: dict[str, float]
    where: str

    def __str__(self) -> str:
        return shown(self.metrics) if self.metrics else "could not be checked, so not printed"


def shown(metrics: dict[str, float]) -> str:
    """Metrics on one line."""
    return ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())


@dataclass(frozen=True, slots=True)
class Lists:
    """Rankings by iALS, with the hyperparameters of the authors' command, and others by the same protocol.

    Attributes:
        dataset: its name.
        protocol: how it is taken apart.
        config: of family ials.
        cited: what was published of iALS.
        others: what was published of models that are not run here.
    """

    dataset: str
    protocol: str
    config: dict[str, Any]
    cited: Cited
    others: tuple[Cited, ...] = ()


def _ials(**numbers: float) -> dict[str, Any]:
    return {"ridge": "absolute", "ridge_exponent": 1.0, **numbers}


def _vae_metrics(ndcg_100: float, recall_20: float, recall_50: float) -> dict[str, float]:
    return {"recall@20": recall_20, "recall@50": recall_50, "nDCG@100": ndcg_100}


NCF: Final = Lists(
    ML_1M,
    "latest interaction hidden, ranked among 99 random others (He et al. 2017)",
    _ials(factors=192, regularization=0.007, unobserved_weight=0.3, iterations=12),
    Cited("iALS", {}, f"table 5 of {IALS_PAPER}"),
)
VAE: Final = Lists(
    ML_20M,
    "10,000 strangers, 80 % of their history folded in (Liang et al. 2018)",
    _ials(factors=256, regularization=0.003, unobserved_weight=0.1, iterations=16),
    Cited("iALS", {}, f"figure 2 of {IALS_PAPER}; its table 3 has 2,048 factors"),
    (
        Cited("Mult-VAE", _vae_metrics(0.426, 0.395, 0.537), f"table III of {VASP_PAPER}"),
        Cited("EASE", _vae_metrics(0.420, 0.391, 0.521), f"table III of {VASP_PAPER}"),
    ),
)
