"""Who a synthetic pedestrian is: body, hair, clothes, shoes and bag, drawn from a seed."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

from pose2id.renderer.seeds import generator

T = TypeVar("T")
Color = tuple[float, float, float]
HairStyle = Literal["bald", "short", "bob", "long", "ponytail", "bun", "cap", "beanie", "scarf"]
Pattern = Literal[
    "solid",
    "stripes",
    "pinstripes",
    "check",
    "dots",
    "two_tone",
    "print",
    "open",
    "band",
    "side",
    "plaid",
]
Sleeve = Literal["none", "short", "long"]
LowerKind = Literal["trousers", "wide", "leggings", "shorts", "skirt"]
BagKind = Literal["none", "backpack", "handbag", "shoulder"]
Look = Literal["plain", "street"]
"""How a population dresses and how its cameras see: `plain` is the demo's, with every colour and
pattern about equally likely; `street` is nearer to photographs: dark hair and bags, plain dark
trousers, plaid, folds, umbrellas, clearer and faster cameras, and worse crops."""


@dataclass(frozen=True, slots=True)
class Material:
    """A surface: its visible colour (r, g, b in 0..255) and its infrared brightness (0..255)."""

    color: Color
    infrared: float


@dataclass(frozen=True, slots=True)
class Garment:
    """Cloth of a piece of clothing; lengths are fractions of the picture's height.

    Attributes:
        pattern: What is on the cloth.
        base: Ground of the cloth.
        accent: Stripes, dots, print or second tone.
        period: Distance between stripes, checks or dots.
        shape: In [0, 1): chooses a print's form and where tones meet.
        folds: How much folds change the brightness, as a share.
    """

    pattern: Pattern
    base: Material
    accent: Material
    period: float
    shape: float
    folds: float = 0.035


Palette = tuple[tuple[float, tuple[float, float, float, float, float, float]], ...]
"""Weights of hue, saturation and value ranges."""

_CLOTH: Palette = (
    (12, (0.00, 1.00, 0.00, 0.12, 0.08, 0.20)),  # black
    (8, (0.00, 1.00, 0.00, 0.08, 0.30, 0.65)),  # grey
    (10, (0.00, 1.00, 0.00, 0.06, 0.84, 0.98)),  # white
    (9, (0.58, 0.68, 0.45, 0.80, 0.20, 0.42)),  # navy
    (10, (0.54, 0.64, 0.40, 0.85, 0.50, 0.90)),  # blue
    (7, (0.08, 0.12, 0.20, 0.45, 0.62, 0.88)),  # beige
    (6, (0.04, 0.09, 0.45, 0.75, 0.28, 0.55)),  # brown
    (9, (0.96, 1.02, 0.65, 0.92, 0.50, 0.88)),  # red
    (6, (0.24, 0.42, 0.35, 0.75, 0.28, 0.68)),  # green
    (6, (0.11, 0.16, 0.60, 0.92, 0.80, 0.98)),  # yellow
    (5, (0.03, 0.07, 0.75, 0.95, 0.82, 0.98)),  # orange
    (6, (0.88, 0.96, 0.25, 0.70, 0.75, 0.98)),  # pink
    (5, (0.72, 0.82, 0.35, 0.70, 0.35, 0.75)),  # purple
    (5, (0.45, 0.53, 0.45, 0.85, 0.40, 0.82)),  # teal
)
# What is worn below the waist, on the feet and over the shoulder in a street: mostly dark or denim.
_MUTED: Palette = (
    (34, (0.00, 1.00, 0.00, 0.15, 0.04, 0.18)),  # black
    (14, (0.00, 1.00, 0.00, 0.08, 0.25, 0.65)),  # grey
    (20, (0.57, 0.66, 0.25, 0.60, 0.20, 0.60)),  # denim
    (9, (0.58, 0.68, 0.40, 0.80, 0.12, 0.35)),  # navy
    (9, (0.07, 0.13, 0.15, 0.45, 0.50, 0.85)),  # beige
    (5, (0.04, 0.09, 0.40, 0.75, 0.20, 0.45)),  # brown
    (9, (0.00, 1.00, 0.00, 0.06, 0.80, 0.98)),  # white
)
_HAIR: tuple[tuple[float, Color], ...] = (
    (8, (22, 18, 17)),
    (7, (52, 35, 25)),
    (4, (96, 62, 36)),
    (3, (186, 146, 88)),
    (2, (140, 66, 32)),
    (3, (165, 162, 158)),
)
_SKIN_LIGHT = np.array([241, 205, 180], np.float64)
_SKIN_DARK = np.array([92, 58, 40], np.float64)


@dataclass(frozen=True, slots=True)
class Identity:
    """One person, the same in every picture of them.

    Attributes:
        seed: Seed of the population. Training uses seeds below 1000, the demo 7000; seeds from
            9000 on are for evaluation only.
        index: Number within the population.
        look: How the population dresses.
        skin: Skin.
        hair: Hair.
        hair_style: Cut, or what covers it.
        headwear: Colour of a cap, beanie or scarf.
        beard: A beard in the hair's colour.
        glasses: Dark glasses.
        build: Factor on the widths of body and limbs.
        height: Factor on the size of the body in the picture.
        waist: Factor on the waist's width.
        upper: Cloth of the upper body.
        sleeve: Length of the sleeves.
        sleeve_cloth: Cloth of the sleeves, often that of the upper body.
        upper_length: Where the upper cloth ends: 1 at the hip joints, 2 at one torso below.
        inner: Shirt seen between the sides of an open jacket, and the collar.
        lower: Cloth of the lower body.
        lower_kind: Cut of the lower cloth.
        lower_length: How far the lower cloth goes from hip (0) to ankle (1).
        shoes: Shoes.
        bag: Kind of bag.
        bag_cloth: Colour of the bag.
        bag_side: 1 on the left, -1 on the right.
        umbrella: Held open over the head, in the headwear's colour.
    """

    seed: int
    index: int
    look: Look
    skin: Material
    hair: Material
    hair_style: HairStyle
    headwear: Material
    beard: bool
    glasses: bool
    build: float
    height: float
    waist: float
    upper: Garment
    sleeve: Sleeve
    sleeve_cloth: Garment
    upper_length: float
    inner: Material
    lower: Garment
    lower_kind: LowerKind
    lower_length: float
    shoes: Material
    bag: BagKind
    bag_cloth: Material
    bag_side: int
    umbrella: bool = False

    @staticmethod
    def sample(seed: int, index: int, look: Look = "plain") -> Identity:
        """Draws a person.

        Args:
            seed: Seed of the population.
            index: Number within the population.
            look: How the population dresses.

        Returns:
            The person that belongs to (seed, index, look), whatever was drawn before.
        """
        person = Identity._plain(seed, index)
        return person if look == "plain" else _in_street_clothes(person)

    @staticmethod
    def _plain(seed: int, index: int) -> Identity:
        rng = generator("identity", seed, index)
        hair_styles: tuple[HairStyle, ...] = (
            *("bald", "short", "bob", "long", "ponytail", "bun"),
            *("cap", "beanie", "scarf"),
        )
        style = _choice(rng, hair_styles, (1, 7, 3, 4, 3, 2, 2, 1.5, 1.5))
        masculine = style in ("bald", "short", "cap") or (style == "beanie" and rng.random() < 0.5)
        upper_patterns: tuple[Pattern, ...] = (
            *("solid", "stripes", "pinstripes", "check", "dots"),
            *("two_tone", "print", "open", "band"),
        )
        upper = _garment(rng, upper_patterns, (6, 3, 1, 2, 1, 2.5, 4, 3.5, 2))
        sleeves: tuple[Sleeve, ...] = ("none", "short", "long")
        sleeve = _choice(rng, sleeves, (1.2, 5, 6))
        raglan = sleeve != "none" and rng.random() < 0.15
        sleeve_ground = upper.accent if raglan else upper.base
        sleeve_pattern: Pattern = "solid" if raglan else _sleeve_pattern(upper.pattern)
        lower_kinds: tuple[LowerKind, ...] = ("trousers", "wide", "leggings", "shorts", "skirt")
        kind = _choice(rng, lower_kinds, (7, 2, 2, 3.5, 0.0 if masculine else 5))
        lower_patterns: tuple[Pattern, ...] = ("solid", "stripes", "check", "dots", "side")
        lower_weights = (7, 2, 2, 1.5, 0) if kind == "skirt" else (9, 0, 1, 0, 2)
        bags: tuple[BagKind, ...] = ("none", "backpack", "handbag", "shoulder")
        short_cut = kind in ("shorts", "skirt")
        coat = sleeve == "long" and rng.random() < 0.2
        return Identity(
            seed=seed,
            index=index,
            look="plain",
            skin=_skin(rng),
            hair=_hair(rng),
            hair_style=style,
            headwear=_cloth(rng),
            beard=bool(masculine and rng.random() < 0.2),
            glasses=bool(rng.random() < 0.18),
            build=float(np.clip(rng.normal(1.0 if masculine else 0.93, 0.1), 0.8, 1.3)),
            height=float(np.clip(rng.normal(1.0 if masculine else 0.97, 0.03), 0.9, 1.06)),
            waist=float(rng.uniform(0.88, 1.02) if masculine else rng.uniform(0.75, 0.92)),
            upper=upper,
            sleeve=sleeve,
            sleeve_cloth=Garment(
                sleeve_pattern, sleeve_ground, upper.accent, upper.period, upper.shape
            ),
            upper_length=float(rng.uniform(1.5, 1.95) if coat else rng.uniform(0.92, 1.22)),
            inner=_cloth(rng),
            lower=_garment(rng, lower_patterns, lower_weights),
            lower_kind=kind,
            lower_length=float(rng.uniform(0.3, 0.7) if short_cut else rng.uniform(0.86, 1.0)),
            shoes=_cloth(rng),
            bag=_choice(rng, bags, (5, 3, 2, 2)),
            bag_cloth=_cloth(rng),
            bag_side=1 if rng.random() < 0.5 else -1,
        )


def _in_street_clothes(person: Identity) -> Identity:
    """The same body dressed anew; one person in five keeps the plain look's clothes."""
    rng = generator("street", person.seed, person.index)
    if rng.random() < 0.2:
        return replace(person, look="street")
    upper_patterns: tuple[Pattern, ...] = (
        *("solid", "stripes", "plaid", "two_tone", "print", "open", "band"),
    )
    upper = _garment(rng, upper_patterns, (11, 2, 2.5, 1, 5, 3, 1))
    if rng.random() < 0.45:  # black, white, grey and navy are most of what is worn
        upper = replace(upper, base=_cloth(rng, _MUTED))
    upper = replace(upper, folds=float(rng.uniform(0.05, 0.2)))
    lower_patterns: tuple[Pattern, ...] = ("solid", "plaid", "stripes", "side")
    skirt = person.lower_kind == "skirt"
    lower = _garment(rng, lower_patterns, (9, 2, 1, 0) if skirt else (20, 1, 0, 1))
    muted = rng.random() < (0.6 if skirt else 0.88)
    lower = replace(
        lower,
        base=_cloth(rng, _MUTED) if muted else lower.base,
        folds=float(rng.uniform(0.05, 0.2)),
    )
    hair = Material(_rgb(rng.uniform(12, 42) * np.array([1.0, 0.9, 0.85])), person.hair.infrared)
    bags: tuple[BagKind, ...] = ("none", "backpack", "handbag", "shoulder")
    bare = person.hair_style in ("cap", "beanie", "scarf") and rng.random() < 0.6
    return replace(
        person,
        look="street",
        hair=hair if rng.random() < 0.75 else person.hair,
        hair_style="short" if bare else person.hair_style,
        upper=upper,
        sleeve_cloth=replace(upper, pattern=_sleeve_pattern(upper.pattern)),
        lower=lower,
        shoes=_cloth(rng, _MUTED),
        bag=_choice(rng, bags, (8, 6, 3, 3)),
        bag_cloth=_cloth(rng, _MUTED) if rng.random() < 0.8 else _cloth(rng),
        umbrella=bool(rng.random() < 0.04),
    )


def _choice(rng: np.random.Generator, values: tuple[T, ...], weights: tuple[float, ...]) -> T:
    total = np.cumsum(weights)
    return values[int(np.searchsorted(total, rng.random() * total[-1], side="right"))]


def _infrared(rng: np.random.Generator, low: float, high: float) -> float:
    # Drawn apart from the colour: near-infrared reflectance of dyes says little about their hue.
    return float(rng.uniform(low, high))


def _cloth(rng: np.random.Generator, palette: Palette = _CLOTH) -> Material:
    ranges = _choice(rng, tuple(r for _, r in palette), tuple(w for w, _ in palette))
    hue = rng.uniform(ranges[0], ranges[1]) % 1.0
    rgb = colorsys.hsv_to_rgb(hue, rng.uniform(*ranges[2:4]), rng.uniform(*ranges[4:6]))
    return Material((rgb[0] * 255, rgb[1] * 255, rgb[2] * 255), _infrared(rng, 30, 235))


def _skin(rng: np.random.Generator) -> Material:
    mix = rng.beta(1.1, 1.9)
    rgb = (1 - mix) * _SKIN_LIGHT + mix * _SKIN_DARK + rng.normal(0, 5, 3)
    return Material(_rgb(rgb), _infrared(rng, 165, 205))


def _hair(rng: np.random.Generator) -> Material:
    base = _choice(rng, tuple(c for _, c in _HAIR), tuple(w for w, _ in _HAIR))
    return Material(_rgb(np.array(base) * rng.uniform(0.8, 1.2)), _infrared(rng, 40, 130))


def _rgb(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Color:
    r, g, b = np.clip(values, 0, 255)
    return float(r), float(g), float(b)


def _garment(
    rng: np.random.Generator, patterns: tuple[Pattern, ...], weights: tuple[float, ...]
) -> Garment:
    base, accent = _cloth(rng), _cloth(rng)
    # A pattern in the colour of its ground would be no pattern.
    while np.abs(np.subtract(base.color, accent.color)).sum() < 130:
        accent = _cloth(rng)
    return Garment(
        pattern=_choice(rng, patterns, weights),
        base=base,
        accent=accent,
        period=float(rng.uniform(0.034, 0.075)),
        shape=float(rng.random()),
    )


def _sleeve_pattern(pattern: Pattern) -> Pattern:
    return pattern if pattern in ("stripes", "check", "dots", "pinstripes", "plaid") else "solid"
