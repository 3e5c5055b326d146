"""Approximate search by ScaNN, the optional extra `scann`: partitions, and in them quantized residuals.

Vectors are quantized so that what matters to large inner products is kept; the best by the quantized scores
are candidates, and whoever asks scores them exactly, so ScaNN itself stores no vectors.

References:
    Guo et al.: Accelerating Large-Scale Inference with Anisotropic Vector Quantization, ICML 2020.
"""

from __future__ import annotations

import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.errors import ArtifactError

if TYPE_CHECKING:
    from models.index.certificate import ScannSetting
    from models.index.exact import ExactIndex
    from models.types import Float32Array, RowArray

FEWEST: Final = 10_000
"""Vectors with which partitions are worth having."""
_ASSETS: Final = "scann_assets.pbtxt"
_SAMPLED: Final = 250_000
_DIMENSIONS_PER_BLOCK: Final = 2
_ANISOTROPY: Final = 0.2
"""Share of the parallel error's weight that ScaNN's authors recommend for vectors of length 1."""


def is_installed() -> bool:
    """Whether ScaNN can be imported."""
    return find_spec("scann") is not None


class ScannIndex:
    """Proposes row numbers, most promising first by quantized scores.

    Many threads may ask at once.
    """

    in_order = False

    def __init__(self, searcher: Any, exact: ExactIndex, setting: ScannSetting) -> None:  # noqa: ANN401
        self._searcher = searcher
        self._n_vectors = exact.n_eligible
        self._rows = _rows(exact)
        self.use(setting)

    @classmethod
    def build(cls, exact: ExactIndex, setting: ScannSetting, *, threads: int) -> ScannIndex:
        """Quantize the vectors that can be returned, at length 1 where scores are cosines.

        ScaNN draws the first partitions itself, so no two builds are the same.
        """
        from scann.scann_ops.py import scann_ops_pybind  # noqa: PLC0415 - an extra

        rows = _rows(exact)
        vectors = exact.vectors
        if rows is not None and exact.scale is not None:
            vectors = vectors[rows] * exact.scale[rows, np.newaxis]
        builder = scann_ops_pybind.builder(vectors, setting.candidates, "dot_product")
        builder = builder.set_n_training_threads(threads).tree(
            num_leaves=setting.leaves,
            num_leaves_to_search=setting.leaves_to_search,
            training_sample_size=min(len(vectors), _SAMPLED),
        )
        built = builder.score_ah(
            _DIMENSIONS_PER_BLOCK, anisotropic_quantization_threshold=_ANISOTROPY
        ).build()
        return cls(built.searcher, exact, setting)

    @classmethod
    def open(cls, path: Path, exact: ExactIndex, setting: ScannSetting) -> ScannIndex:
        """Open a saved index. The file must be trusted: verify its hash first.

        Raises:
            ArtifactError: ScaNN is not installed, the file is not one of its indexes, or holds another number
                of vectors.
        """
        if not is_installed():
            raise ArtifactError(
                f"{path}: an index of ScaNN, which is not installed here: pip install 'foldrec[scann]', or "
                "train where it is not installed either, and a graph is made instead"
            )
        from scann.scann_ops.py import scann_ops_pybind  # noqa: PLC0415 - an extra

        with tempfile.TemporaryDirectory(prefix="foldrec-scann-") as directory:
            try:
                with zipfile.ZipFile(path) as archive:
                    archive.extractall(directory)
                assets = (Path(directory) / _ASSETS).read_text()
                searcher = scann_ops_pybind.scann_pybind.ScannNumpy(directory, assets)
            except (OSError, RuntimeError, zipfile.BadZipFile) as error:
                raise ArtifactError(
                    f"{path}: not an index of ScaNN ({error}); publish the artifact again"
                ) from error
        if searcher.size() != exact.n_eligible:
            raise ArtifactError(
                f"{path}: an index of {searcher.size()} vectors, but the model has {exact.n_eligible}; "
                "publish it again"
            )
        return cls(searcher, exact, setting)

    def save(self, path: Path) -> None:
        """Write the index to one file, an archive of what ScaNN writes."""
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".scann-") as directory:
            self._searcher.serialize(directory, True)
            with zipfile.ZipFile(path, "w") as archive:
                for part in sorted(Path(directory).iterdir()):
                    archive.write(part, part.name)

    def use(self, setting: ScannSetting) -> None:
        """Search as the setting says. Not while others ask."""
        self._setting = setting

    @property
    def ef(self) -> int:
        """How many candidates are proposed at least."""
        return self._setting.candidates

    def __len__(self) -> int:
        return self._n_vectors

    def candidates(self, vector: Float32Array, k: int) -> RowArray:
        """About the k best rows, or more: see `models.index.base.Graph`."""
        n = max(k, self._setting.candidates)
        found, _ = self._searcher.search(vector, n, n, self._setting.leaves_to_search)
        rows: RowArray = found.astype(np.int32)
        return rows if self._rows is None else self._rows.take(rows)


def _rows(exact: ExactIndex) -> RowArray | None:
    """The rows that can be returned; None where all can."""
    return None if exact.scale is None else np.flatnonzero(exact.scale).astype(np.int32)
