"""Paints: what clothes, heads and bags show at each place of their surface."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pose2id.renderer.identity import Garment, Identity, Material
from pose2id.renderer.paint import Floats, Paint

Tone = Callable[[Material], Floats]


def garment_paint(
    garment: Garment, tone: Tone, quarter: float, length: float, start: float = 0.0
) -> Paint:
    """Paints cloth on a solid.

    Args:
        garment: The cloth.
        tone: Visible colour or infrared grey of a material, `(3,) float32`.
        quarter: Length of a quarter turn around the solid, in picture heights.
        length: Length of the solid's axis, in picture heights.
        start: Where along the cloth the axis starts, in picture heights.

    Returns:
        A paint for `Canvas.lathe` or `Canvas.tube`.
    """
    base, accent = tone(garment.base), tone(garment.accent)

    def paint(around: Floats, along: Floats) -> Floats:
        u, v = around * quarter, start + along * length
        if garment.pattern == "plaid":
            colors = base + (accent - base) * _plaid(garment, u, v)[:, None]
        else:
            second = _is_accent(garment, around, u, v, along)
            colors = np.where(second[:, None], accent, base)
        # Folds: a slow ripple keeps large plain cloth from looking like paper.
        ripple = np.sin(along * length * 55 + around * 3 + garment.shape * 6)
        folded: Floats = (colors * (1 + garment.folds * ripple)[:, None]).astype(np.float32)
        return folded

    return paint


def _is_accent(
    garment: Garment, around: Floats, u: Floats, v: Floats, along: Floats
) -> NDArray[np.bool_]:
    """Tells where cloth shows its second colour; u and v are lengths around and along."""
    period, shape = garment.period, garment.shape
    second: NDArray[np.bool_] = np.zeros(len(u), np.bool_)
    match garment.pattern:
        case "stripes":
            second = v % period < period * (0.35 + 0.3 * shape)
        case "pinstripes":
            second = u % (period * 0.8) < period * 0.3
        case "check":
            second = (v % period < period * 0.42) ^ (u % period < period * 0.42)
        case "dots":
            du = (u + (v // period) * period / 2) % period - period / 2
            second = np.hypot(du, v % period - period / 2) < period * 0.3
        case "two_tone":
            second = along > 0.3 + 0.4 * shape
        case "band":
            second = np.abs(along - 0.22 - 0.35 * shape) < 0.11
        case "side":
            second = np.abs(np.abs(around) - 1) < 0.28
        case "open":
            second = np.abs(around) < 0.2 + 0.25 * shape
        case "print":
            second = _is_printed(shape, around, u, along)
        case "solid" | "plaid":
            pass
    return second


def _plaid(garment: Garment, u: Floats, v: Floats) -> Floats:
    """How much of the second colour woven cloth shows: threads across and along, each half."""
    width = 0.25 + 0.35 * garment.shape
    across, along = (place % garment.period < garment.period * width for place in (u, v))
    share: Floats = ((across.astype(np.float32) + along) * np.float32(0.5)).astype(np.float32)
    return share


def _is_printed(shape: float, around: Floats, u: Floats, along: Floats) -> NDArray[np.bool_]:
    """A print on the chest: disc, block, lines of text, triangle, cross or ring."""
    kind, size = int(shape * 6), 0.75 + (shape * 6 % 1) * 0.5
    x, y = u / (0.055 * size), (along - 0.38) / (0.2 * size)
    radius = x**2 + y**2
    front = np.abs(around) < 1
    forms = (
        lambda: radius < 1,
        lambda: (np.abs(x) < 0.9) & (np.abs(y) < 0.75),
        lambda: (np.abs(x) < 1.1) & (np.abs(y) < 0.9) & (y % 0.6 < 0.32),
        lambda: (np.abs(y) < 1) & (np.abs(x) < (y + 1) * 0.6),
        lambda: (np.abs(x) < 0.32) & (np.abs(y) < 1) | (np.abs(y) < 0.3) & (np.abs(x) < 1),
        lambda: (radius < 1.2) & (radius > 0.4),
    )
    return front & forms[kind]()


def upper_paint(identity: Identity, tone: Tone, quarter: float, length: float) -> Paint:
    """Paints the upper body: cloth, inner shirt, collar, and straps of a bag."""
    cloth = garment_paint(identity.upper, tone, quarter, length)
    inner, strap = tone(identity.inner), tone(identity.bag_cloth)
    skin = tone(identity.skin)

    def paint(around: Floats, along: Floats) -> Floats:
        colors = cloth(around, along)
        if identity.upper.pattern == "open":
            opening = np.abs(around) < 0.12 + 0.25 * identity.upper.shape
            colors[opening & (along < 1.05)] = inner
        neckline = (along < 0.04 + 0.12 * identity.upper.shape) & (
            np.abs(around) < 0.28 - 1.2 * along
        )
        colors[neckline] = skin
        if identity.bag == "backpack":
            colors[(np.abs(np.abs(around) - 0.52) < 0.13) & (along < 0.62)] = strap
        if identity.bag == "shoulder":
            slope = identity.bag_side * around * np.where(np.abs(around) > 1, -1, 1)
            colors[np.abs(along - 0.42 - 0.42 * slope) < 0.07] = strap
        return colors

    return paint


def head_paint(identity: Identity, tone: Tone) -> Paint:
    """Paints a head: `along` runs from crown (0) to chin (1), `around` 0 is the nose."""
    skin, hair = tone(identity.skin), tone(identity.hair)
    cover, style = tone(identity.headwear), identity.hair_style
    dark = np.full(3, 28, np.float32)
    back_end = {"bald": 0.0, "short": 0.68, "bob": 0.98, "long": 1.0, "ponytail": 0.72, "bun": 0.68}

    def paint(around: Floats, along: Floats) -> Floats:
        colors = np.tile(skin, (len(around), 1))
        turn = np.abs(around)
        colors[(np.abs(turn - 0.33) < 0.12) & (np.abs(along - 0.53) < 0.045)] = dark
        colors[(turn < 0.2) & (np.abs(along - 0.81) < 0.025)] = skin * np.float32(0.55)
        if identity.glasses:
            colors[(turn < 1.0) & (np.abs(along - 0.52) < 0.035)] = dark
            colors[(np.abs(turn - 0.33) < 0.2) & (np.abs(along - 0.54) < 0.07)] = dark
        if identity.beard:
            colors[(turn < 0.95) & (along > 0.7 + 0.06 * (turn < 0.2))] = hair
        hairline = np.interp(turn, (0.0, 0.6, 0.85, 1.15), (0.3, 0.34, 0.55, 1.0))
        colors[along < hairline * back_end.get(style, 0.66) / 0.98] = hair
        if style == "bald":
            colors[(turn > 0.8) & (along > 0.4) & (along < 0.78)] = 0.6 * hair + 0.4 * skin
        if style == "cap":
            colors[along < 0.36] = cover
        if style == "beanie":
            colors[along < 0.42] = cover
        if style == "scarf":
            colors[(turn > 0.75) | (along < 0.3) | (along > 0.9)] = cover
        return colors

    return paint
