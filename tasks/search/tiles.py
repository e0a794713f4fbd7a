"""Rows of pictures with captions and a border that says right or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

PICTURE_SIZE = (112, 224)  # width, height
PER_ROW = 11  # the query and ten images
GAP = 10
LINE_HEIGHT = 15
FONT_SIZE = 11
BORDER = 4
SIGN_SIZE = 20
_INK = (32, 34, 38)
_PAPER = (255, 255, 255)
_SIGNS: dict[
    bool, list[tuple[tuple[float, float], ...]]
] = {  # strokes of a tick and of a cross, in a square of size 1
    True: [((0.22, 0.52), (0.42, 0.74), (0.8, 0.26))],
    False: [((0.25, 0.25), (0.75, 0.75)), ((0.25, 0.75), (0.75, 0.25))],
}
_BORDER_COLOURS = {None: (150, 154, 160), True: (34, 139, 84), False: (196, 48, 48)}


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture, the lines below it, and whether it is right (`None`: not known)."""

    picture: Image.Image
    lines: tuple[str, ...]
    is_right: bool | None = None


def draw_tiles(tiles: Sequence[Tile]) -> Image.Image:
    """Draws tiles from left to right, then from top to bottom.

    Colour is not the only sign: a wrong picture has a cross in its corner, a right one a tick.

    Args:
        tiles: What to draw, at least one.

    Returns:
        The drawing, mode `RGB`.
    """
    columns = min(len(tiles), PER_ROW)
    rows = -(-len(tiles) // PER_ROW)
    n_lines = max(len(tile.lines) for tile in tiles)
    width = PICTURE_SIZE[0] + 2 * BORDER + GAP
    height = PICTURE_SIZE[1] + 2 * BORDER + n_lines * LINE_HEIGHT + 2 * GAP
    canvas = Image.new("RGB", (columns * width + GAP, rows * height + GAP), _PAPER)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(FONT_SIZE)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, PER_ROW)
        _draw_tile(canvas, draw, font, tile, (GAP + column * width, GAP + row * height))
    return canvas


def _draw_tile(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    tile: Tile,
    corner: tuple[int, int],
) -> None:
    x, y = corner
    colour = _BORDER_COLOURS[tile.is_right]
    outer = (PICTURE_SIZE[0] + 2 * BORDER, PICTURE_SIZE[1] + 2 * BORDER)
    draw.rectangle((x, y, x + outer[0] - 1, y + outer[1] - 1), fill=colour)
    canvas.paste(tile.picture.resize(PICTURE_SIZE), (x + BORDER, y + BORDER))
    if tile.is_right is not None:
        draw.rectangle((x, y, x + SIGN_SIZE, y + SIGN_SIZE), fill=colour)
        for stroke in _SIGNS[tile.is_right]:
            points = [(x + a * SIGN_SIZE, y + b * SIGN_SIZE) for a, b in stroke]
            draw.line(points, fill=_PAPER, width=3, joint="curve")
    for number, line in enumerate(tile.lines):
        text = _fitting(line, font, outer[0])
        draw.text((x, y + outer[1] + 3 + number * LINE_HEIGHT), text, fill=_INK, font=font)


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int) -> str:
    """The text, shortened in its middle until it fits."""
    shown = text
    keep = len(text)
    while font.getlength(shown) > width_px and keep > 4:
        keep -= 1
        shown = f"{text[: keep // 2]}...{text[len(text) - keep // 2 :]}"
    return shown
