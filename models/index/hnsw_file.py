"""What hnswlib keeps of a graph: opening its files in a fifth of the time that it takes, and changing it.

`Index.load_index` asks the system several times for every node where in the file it is, and makes a table of
labels that only insertion needs: seconds, and 50 bytes a node. Here the file is mapped, and handed over as
the state of an index in one piece.

A file is a header, the nodes, and for each node the bytes of its links above level 0 followed by these.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import hnswlib
import numpy as np
from numpy.typing import NDArray

from models.errors import ArtifactError

if TYPE_CHECKING:
    from pathlib import Path

    from models.types import RowArray

ByteArray: TypeAlias = NDArray[np.uint8]
WordArray: TypeAlias = NDArray[np.uint32]

_LAYOUT: Final = struct.Struct("=6QiI3QdQ")
_LABEL_BYTES: Final = 8
_WORD: Final = 4
"""Bytes of a link, of a coordinate and of the number of links that stands before them."""


class Header(NamedTuple):
    """The fields of the header, in their order; offsets within a node are in bytes."""

    links_offset: int
    capacity: int
    nodes: int
    node_bytes: int
    label_offset: int
    vector_offset: int
    highest_level: int
    entry_node: int
    most_links: int
    most_links_at_0: int
    m: int
    level_scale: float
    ef_construction: int

    @classmethod
    def of(cls, file: ByteArray) -> Header:
        """The header of a file, which must be long enough."""
        return cls(*_LAYOUT.unpack(file[: _LAYOUT.size].tobytes()))

    @property
    def nodes_end(self) -> int:
        """Where in the file the nodes end."""
        return _LAYOUT.size + self.nodes * self.node_bytes

    @property
    def level_words(self) -> int:
        """Words of a node's links on one level: their number, and room for the most there can be."""
        return 1 + self.most_links


def open_graph(path: Path, *, dimensions: int, n_vectors: int) -> hnswlib.Index:
    """Open a saved graph, to be walked by inner products.

    The file must be trusted, for a damaged one ends the process: verify its hash.

    Args:
        path: the file.
        dimensions: coordinates of a vector.
        n_vectors: how many the graph must hold.

    Raises:
        ArtifactError: it is not a whole graph, or holds other vectors: another number, or of another length.
    """
    try:
        file = np.memmap(path, dtype=np.uint8, mode="r").view(np.ndarray)
    except (OSError, ValueError) as error:  # ValueError: it is empty
        raise ArtifactError(f"{path}: cannot be read ({error}); publish the artifact again") from error
    if len(file) < _LAYOUT.size:
        raise ArtifactError(f"{path}: not a whole graph; publish the artifact again")
    header = Header.of(file)
    _check(path, header, dimensions, n_vectors)
    above = _links_above(file[header.nodes_end :], header)
    if above is None:
        raise ArtifactError(f"{path}: not a whole graph; publish the artifact again")
    return _of_state(_state(file, header, dimensions, *above))


def among_inner_products(graph: hnswlib.Index) -> hnswlib.Index:
    """The nodes and links of another graph, without the last coordinate, to be walked by inner products."""
    (state,) = graph.__getstate__()
    nodes = state["data_level0"].view(np.uint8).reshape(-1, state["size_data_per_element"])
    label_offset = state["label_offset"] - _WORD
    kept = np.concatenate([nodes[:, :label_offset], nodes[:, label_offset + _WORD :]], axis=1)
    return _of_state(
        state
        | {
            "space": "ip",
            "dim": state["dim"] - 1,
            "size_data_per_element": kept.shape[1],
            "label_offset": label_offset,
            "data_level0": kept.ravel().view(np.int8),
        }
    )


def _of_state(state: dict[str, Any]) -> hnswlib.Index:
    graph: hnswlib.Index = hnswlib.Index.__new__(hnswlib.Index)
    graph.__setstate__((state,))
    return graph


def _check(path: Path, header: Header, dimensions: int, n_vectors: int) -> None:
    """Refuse a file of other vectors, in which hnswlib would read past the end."""
    if header.nodes != n_vectors:
        raise ArtifactError(
            f"{path}: a graph of {header.nodes} vectors, but the model has {n_vectors}; publish it again"
        )
    vector_bytes = header.label_offset - header.vector_offset
    if vector_bytes != _WORD * dimensions or header.node_bytes - header.label_offset != _LABEL_BYTES:
        raise ArtifactError(
            f"{path}: a graph of vectors of length {vector_bytes // _WORD}, but the model's have "
            f"{dimensions}; publish it again"
        )


def _links_above(rest: ByteArray, header: Header) -> tuple[RowArray, WordArray] | None:
    """Each node's highest level, and the links of all nodes above level 0, one after the other.

    None where what follows the nodes is not exactly that.
    """
    if len(rest) % _WORD:
        return None
    words = rest.view(np.uint32)
    filled = np.flatnonzero(words).tolist()
    nodes, places = list[int](), list[int]()
    node = place = nth = 0
    while nth < len(filled):  # most nodes have but a zero there, so the next that has more is soon found
        node += filled[nth] - place
        place = filled[nth]
        nodes.append(node)
        places.append(place)
        node += 1
        place += 1 + int(words[place]) // _WORD
        nth = bisect_left(filled, place, nth + 1)
    if node + len(words) - place != header.nodes:
        return None
    levels = np.zeros(header.nodes, dtype=np.int32)
    levels[nodes] = words[places] // (_WORD * header.level_words)
    starts = np.arange(header.nodes) + header.level_words * (np.cumsum(levels) - levels)
    is_link = np.ones(len(words), dtype=np.bool_)
    is_link[starts] = False
    return levels, words[is_link]


def _state(
    file: ByteArray, header: Header, dimensions: int, levels: RowArray, links: WordArray
) -> dict[str, Any]:
    """What hnswlib calls the state of an index."""
    return {
        "ser_version": 1,
        "space": "ip",
        "dim": dimensions,
        "index_inited": True,
        "ep_added": True,
        "normalize": False,
        "num_threads": 1,
        "seed": 0,
        "offset_level0": header.links_offset,
        "max_elements": header.capacity,
        "cur_element_count": header.nodes,
        "size_data_per_element": header.node_bytes,
        "label_offset": header.label_offset,
        "offset_data": header.vector_offset,
        "max_level": header.highest_level,
        "enterpoint_node": header.entry_node,
        "max_M": header.most_links,
        "max_M0": header.most_links_at_0,
        "M": header.m,
        "mult": header.level_scale,
        "ef_construction": header.ef_construction,
        "ef": 1,
        "has_deletions": False,
        "allow_replace_deleted": False,
        "size_links_per_element": header.level_words * _WORD,
        # Labels stand in the nodes; the way back from label to node is for those who insert.
        "label_lookup_external": np.zeros(header.nodes, dtype=np.uint64),
        "label_lookup_internal": np.zeros(header.nodes, dtype=np.uint32),
        "element_levels": levels,
        "data_level0": file[_LAYOUT.size : header.nodes_end].view(np.int8),
        "link_lists": links.view(np.int8),
    }
