"""What a page looks like, coarsely: pictures of it that are compared square by square.

Text is drawn in boxes of one width (`boxes`), so that a machine's fonts decide neither where lines end nor
how dark they are; what is left is the layout.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

REDUCED: Final = 8
"""Pixels of a page, along each side, that become one of its picture."""
_SQUARE: Final = 4
"""Pixels of a picture, along each side, that are compared as one: 32 of the page."""
_VISIBLE: Final = 12
"""A difference of colour, of 255, that counts: the sheet of a panel and what lies under it differ by 9."""


def picture(screenshot: bytes) -> Image.Image:
    """A screenshot, reduced."""
    whole = Image.open(io.BytesIO(screenshot)).convert("RGB")
    return whole.reduce(REDUCED)


def difference(one: Image.Image, other: Image.Image) -> float:
    """The share of squares whose mean colours differ visibly; 1 where the sizes differ."""
    if one.size != other.size:
        return 1.0
    apart = np.abs(_squares(one) - _squares(other)).max(axis=2)
    return float((apart > _VISIBLE).mean())


def _squares(reduced: Image.Image) -> NDArray[np.float64]:
    return np.asarray(reduced.reduce(_SQUARE), dtype=np.float64)


def boxes() -> str:
    """CSS that has every character drawn as a box, as wide as those of a sans serif are on average."""
    font = base64.b64encode(_font()).decode()
    return (
        f"@font-face {{ font-family: Boxes; src: url(data:font/ttf;base64,{font}); }}"
        "* { font-family: Boxes !important; text-rendering: geometricPrecision; caret-color: transparent; }"
    )


def _font() -> bytes:
    em, advance = 1000, 560
    builder = FontBuilder(em, isTTF=True)
    builder.setupGlyphOrder([".notdef", "space", "box"])
    builder.setupCharacterMap(
        {character: "space" if character in (0x20, 0xA0) else "box" for character in range(0x20, 0x3000)}
    )
    builder.setupGlyf(
        {
            ".notdef": TTGlyphPen(None).glyph(),
            "box": _box(50, 0, advance - 50, 520),
            "space": TTGlyphPen(None).glyph(),
        }
    )
    builder.setupHorizontalMetrics({".notdef": (advance, 0), "box": (advance, 50), "space": (300, 0)})
    builder.setupHorizontalHeader(ascent=930, descent=-240)
    builder.setupOS2(sTypoAscender=930, sTypoDescender=-240, usWinAscent=930, usWinDescent=240)
    builder.setupNameTable({"familyName": "Boxes", "styleName": "Regular"})
    builder.setupPost()
    content = io.BytesIO()
    builder.save(content)
    return content.getvalue()


def _box(left: int, bottom: int, right: int, top: int) -> Any:
    pen = TTGlyphPen(None)
    pen.moveTo((left, bottom))
    for corner in ((left, top), (right, top), (right, bottom)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()
