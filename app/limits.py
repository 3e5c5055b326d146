"""The bounds that settings put on a request."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one service; also the validation context of :mod:`app.schemas.parameters`."""

    max_k: int
    max_body_bytes: int
