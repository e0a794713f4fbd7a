"""A canvas with depth: rounded solids shaded from the side, nearest surface wins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
# (around, along) -> (N, 3) colours. `around` is the angle on the solid in quarter turns: 0 at its
# front, 1 at its left, -1 at its right, +-2 at its back; `along` runs over the axis from 0.
Paint = Callable[[Floats, Floats], Floats]
Surface = Paint | Floats

_AMBIENT = 0.55


class Canvas:
    """Colour and depth at twice the size of the final picture.

    Attributes:
        color: `(2H, 2W, 3) float32` in 0..255, zero where nothing is drawn.
        depth: `(2H, 2W) float32` nearness in pixels, -inf where nothing is drawn.
    """

    def __init__(self, height_px: int, width_px: int, light: tuple[float, float, float]) -> None:
        self.color: Floats = np.zeros((2 * height_px, 2 * width_px, 3), np.float32)
        self.depth: Floats = np.full((2 * height_px, 2 * width_px), -np.inf, np.float32)
        norm = float(np.linalg.norm(light))
        self._light = tuple(v / norm for v in light)

    def tube(self, a: Floats, b: Floats, radii: tuple[float, float], surface: Surface) -> None:
        """Draws a round limb from a to b with hemispheres at its ends.

        Args:
            a: `(3,)` start in canvas pixels: x, y, depth.
            b: `(3,)` end.
            radii: Radius at start and end.
            surface: One colour `(3,)`, or a paint whose `around` is 0 toward the viewer.
        """
        reach = max(radii)
        box = self._box(
            min(a[0], b[0]) - reach,
            min(a[1], b[1]) - reach,
            max(a[0], b[0]) + reach,
            max(a[1], b[1]) + reach,
        )
        if box is None:
            return
        rows, cols, x, y = box
        x, y = x - a[0], y - a[1]
        dx, dy = float(b[0] - a[0]), float(b[1] - a[1])
        squared = max(dx * dx + dy * dy, 1e-6)
        t = np.clip((x * dx + y * dy) / squared, 0, 1)  # (h, w)
        off_x, off_y = x - t * dx, y - t * dy
        r = radii[0] + (radii[1] - radii[0]) * t
        inside = np.flatnonzero(off_x * off_x + off_y * off_y < r * r)
        t, r = t.ravel()[inside], r.ravel()[inside]
        nx, ny = off_x.ravel()[inside] / r, off_y.ravel()[inside] / r
        nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0))
        spot, seen = self._nearer(rows, cols, inside, a[2] + t * (b[2] - a[2]) + r * nz)
        nx, ny, nz = nx[seen], ny[seen], nz[seen]
        if callable(surface):
            side = (nx * dy - ny * dx) / squared**0.5
            around = np.arcsin(np.clip(side, -1, 1)) * np.float32(2 / np.pi)
            surface = surface(around.astype(np.float32), t[seen].astype(np.float32))
        self._put(spot, (nx, ny, nz), surface)

    def lathe(
        self,
        a: Floats,
        b: Floats,
        profile: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]],
        azimuth_rad: float,
        surface: Surface,
    ) -> None:
        """Draws a solid with elliptical cross-sections around the axis from a to b.

        Args:
            a: `(3,)` start of the axis (its upper end) in canvas pixels: x, y, depth.
            b: `(3,)` end of the axis.
            profile: Positions along the axis (0 at a, 1 at b; the solid spans the first to the
                last), half-widths side to side, half-widths front to back, in pixels.
            azimuth_rad: Where its front looks: 0 at the viewer, pi/2 to the picture's right.
            surface: One colour `(3,)`, or a paint.
        """
        stations, sides, fronts = profile
        reach = max(max(sides), max(fronts))
        ends = [a + (b - a) * stations[0], a + (b - a) * stations[-1]]
        box = self._box(
            min(ends[0][0], ends[1][0]) - reach,
            min(ends[0][1], ends[1][1]) - 2,
            max(ends[0][0], ends[1][0]) + reach,
            max(ends[0][1], ends[1][1]) + 2,
        )
        if box is None:
            return
        rows, cols, x, y = box
        x, y = x - a[0], y - a[1]
        dx, dy = float(b[0] - a[0]), float(b[1] - a[1])
        length = max(np.hypot(dx, dy), 1e-3)
        t = (x * dx + y * dy) / length**2  # (h, w)
        across = (x * dy - y * dx) / length
        side = np.interp(t, stations, sides).astype(np.float32)
        front = np.interp(t, stations, fronts).astype(np.float32)
        cos, sin = float(np.cos(azimuth_rad)), float(np.sin(azimuth_rad))
        half = np.sqrt((side * cos) ** 2 + (front * sin) ** 2)
        drawn = (np.abs(across) < half) & (t >= stations[0]) & (t <= stations[-1])
        inside = np.flatnonzero(drawn)
        t, across = t.ravel()[inside], across.ravel()[inside] / half.ravel()[inside]
        side, front = side.ravel()[inside], front.ravel()[inside]
        # Ellipse point (side cos p, front sin p) projects to half cos(p - lean): take the near one.
        angle = np.arctan2(front * sin, side * cos) + np.arccos(np.clip(across, -1, 1))
        near = front * np.sin(angle) * cos - side * np.cos(angle) * sin
        spot, seen = self._nearer(rows, cols, inside, a[2] + t * (b[2] - a[2]) + near)
        across = across[seen]
        if callable(surface):
            around = (1 - angle[seen] * np.float32(2 / np.pi) + 2) % 4 - 2
            surface = surface(around.astype(np.float32), t[seen].astype(np.float32))
        self._put(spot, (across, np.float32(0), np.sqrt(1 - across * across)), surface)

    def reduce(self) -> tuple[Floats, Floats]:
        """Averages 2x2 pixels: colour times cover `(H, W, 3)` in 0..255 and cover `(H, W)`."""
        color, cover = self.color, np.isfinite(self.depth).astype(np.float32)
        return _halve(color), _halve(cover)

    def _box(
        self, left: float, top: float, right: float, bottom: float
    ) -> tuple[slice, slice, Floats, Floats] | None:
        rows, cols = self.depth.shape
        x0, x1 = max(int(left), 0), min(int(right) + 2, cols)
        y0, y1 = max(int(top), 0), min(int(bottom) + 2, rows)
        if x0 >= x1 or y0 >= y1:
            return None
        x = np.arange(x0, x1, dtype=np.float32)[None] + np.float32(0.5)
        y = np.arange(y0, y1, dtype=np.float32)[:, None] + np.float32(0.5)
        return slice(y0, y1), slice(x0, x1), x, y

    def _nearer(
        self, rows: slice, cols: slice, inside: NDArray[np.intp], depth: Floats
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Records depths of a box's pixels; tells which are in front and where on the canvas."""
        width = cols.stop - cols.start
        spot = (inside // width + rows.start) * self.depth.shape[1] + inside % width + cols.start
        flat = self.depth.reshape(-1)
        seen = depth > flat[spot]
        flat[spot[seen]] = depth[seen]
        return spot[seen], seen

    def _put(
        self,
        spot: NDArray[np.intp],
        normal: tuple[Floats, Floats | np.float32, Floats],
        colors: Floats,
    ) -> None:
        lx, ly, lz = self._light
        lambert = np.maximum(normal[0] * lx + normal[1] * ly + normal[2] * lz, 0)
        shade = (_AMBIENT + (1.12 - _AMBIENT) * lambert)[:, None]
        self.color.reshape(-1, 3)[spot] = np.minimum(colors * shade, 255)


def _halve(values: Floats) -> Floats:
    """Averages 2x2 blocks; four slices are much faster than a mean over two axes."""
    upper = values[0::2, 0::2] + values[0::2, 1::2]
    lower = values[1::2, 0::2] + values[1::2, 1::2]
    return (upper + lower) * np.float32(0.25)
