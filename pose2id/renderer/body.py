"""Draws an identity on joints: limbs, clothes, head and bag as shaded solids with depth."""

from __future__ import annotations

import numpy as np

from pose2id.renderer.cloth import garment_paint, head_paint, upper_paint
from pose2id.renderer.identity import Identity, Material
from pose2id.renderer.paint import Canvas, Floats, Surface
from pose2id.renderer.skeleton import Joints

NOSE, NECK = 0, 1
SHOULDERS, ELBOWS, WRISTS = (2, 5), (3, 6), (4, 7)
HIPS, KNEES, ANKLES, EARS = (8, 11), (9, 12), (10, 13), (16, 17)


class Figure:
    """One person on a canvas; every length below is in picture heights.

    Args:
        canvas: Where to draw.
        identity: Whom to draw.
        joints: `(18, 3) float32`, see `skeleton`.
        infrared: Draw infrared brightness in place of colour.
    """

    def __init__(self, canvas: Canvas, identity: Identity, joints: Joints, infrared: bool) -> None:
        rows, cols = canvas.depth.shape
        self.canvas, self.who = canvas, identity
        self.unit = float(rows)
        self.p = joints * np.array([cols, rows, rows], np.float32)
        self.infrared = infrared
        shoulders = self.p[5] - self.p[2]
        hips = self.p[11] - self.p[8]
        left = shoulders / np.linalg.norm(shoulders) * 1.5 + hips / np.linalg.norm(hips)
        self.azimuth = float(np.arctan2(-left[2], left[0]))
        self.forward = np.array([np.sin(self.azimuth), 0, np.cos(self.azimuth)], np.float32)
        self.left = np.array([np.cos(self.azimuth), 0, -np.sin(self.azimuth)], np.float32)
        self.shoulder_mid = (self.p[2] + self.p[5]) / 2
        self.hip_mid = (self.p[8] + self.p[11]) / 2
        self.half_shoulder = float(np.linalg.norm(shoulders)) / 2 / self.unit
        self.half_hip = float(np.linalg.norm(hips)) / 2 / self.unit
        self.torso = float(np.linalg.norm((self.hip_mid - self.shoulder_mid)[:2])) / self.unit

    def draw(self) -> None:
        """Draws everything; order does not matter, depth decides."""
        self._legs()
        self._pelvis()
        self._torso()
        self._arms()
        self._head()
        if self.who.bag != "none":
            self._bag()
        if self.who.umbrella:
            self._umbrella()

    def tone(self, material: Material) -> Floats:
        """Colour `(3,) float32` of a material in this picture's modality."""
        grey = material.infrared
        return np.array((grey, grey, grey) if self.infrared else material.color, np.float32)

    def _tube(self, a: Floats, b: Floats, ra: float, rb: float, surface: Surface) -> None:
        self.canvas.tube(a, b, (ra * self.unit, rb * self.unit), surface)

    def _lathe(
        self,
        a: Floats,
        b: Floats,
        stations: tuple[float, ...],
        sides: tuple[float, ...],
        fronts: tuple[float, ...],
        surface: Surface,
    ) -> None:
        scaled = tuple(s * self.unit for s in sides), tuple(f * self.unit for f in fronts)
        self.canvas.lathe(a, b, (stations, *scaled), self.azimuth, surface)

    def _limb_cloth(self, radius: float, length: float, start: float) -> Surface:
        return garment_paint(self.who.lower, self.tone, radius * 1.6, length, start)

    def _legs(self) -> None:
        who, build = self.who, self.who.build
        wide = {"wide": 1.3, "trousers": 1.05, "leggings": 0.85}.get(who.lower_kind, 0.95)
        skin, shoe = self.tone(who.skin), self.tone(who.shoes)
        behind = np.array([0, 0, 0.06], np.float32) * self.unit
        for hip_index, knee_index, ankle_index in zip(HIPS, KNEES, ANKLES, strict=True):
            # Legs sit a little deeper than they are: hems of shirts, coats and skirts hide them.
            hip, knee, ankle = (self.p[i] - behind for i in (hip_index, knee_index, ankle_index))
            self._tube(hip, knee, 0.054 * build, 0.038 * build, skin)
            self._tube(knee, ankle, 0.036 * build, 0.022 * build, skin)
            self._shoe(knee, ankle, shoe)
            if who.lower_kind == "skirt":
                continue
            cover = who.lower_length * 2  # 1 at the knee, 2 at the ankle
            loose = 1.12 if who.lower_kind == "shorts" else 1.0
            end = hip + (knee - hip) * min(cover, 1.0)
            cloth = self._limb_cloth(0.05, 0.215, 0.05)
            hem = (0.062 - 0.016 * min(cover, 1.0)) * build * loose
            self._tube(hip, end, 0.062 * build, hem * wide, cloth)
            if cover > 1:
                end = knee + (ankle - knee) * (cover - 1)
                cloth = self._limb_cloth(0.04, 0.215, 0.265)
                hem = (0.046 - 0.012 * (cover - 1)) * build
                self._tube(knee, end, 0.046 * build * wide, hem * wide * wide, cloth)

    def _shoe(self, knee: Floats, ankle: Floats, color: Floats) -> None:
        shin = (ankle - knee) / max(float(np.linalg.norm(ankle - knee)), 1.0)
        toe = self.forward - shin * float(self.forward @ shin)
        toe = toe / max(float(np.linalg.norm(toe)), 1e-3)
        heel = ankle + (shin * 0.018 - toe * 0.012) * self.unit
        tip = heel + toe * 0.062 * self.unit
        self._tube(heel.astype(np.float32), tip.astype(np.float32), 0.024, 0.018, color)

    def _pelvis(self) -> None:
        who, build = self.who, self.who.build
        hip = (self.half_hip + 0.05) * (0.5 + 0.5 * build)
        if who.lower_kind == "skirt":
            ends = 1 + who.lower_length * 1.35
            flare = hip * (1.05 + 0.35 * who.upper.shape)
            stations: tuple[float, ...] = (0.72, 1.0, ends)
            sides = (hip * 0.88, hip * 1.05, flare)
            fronts = (0.062 * build, 0.08 * build, 0.09 + 0.05 * who.lower.shape)
        else:
            stations, sides = (0.72, 1.0, 1.14), (hip * 0.88, hip, hip * 0.9)
            fronts = (0.06 * build, 0.074 * build, 0.066 * build)
        paint = garment_paint(who.lower, self.tone, 0.1, self.torso, -0.75 * self.torso)
        # A little deeper than it is, so that a coat hides the skirt under it.
        behind = np.array([0, 0, 0.03], np.float32) * self.unit
        top, bottom = self.shoulder_mid - behind, self.hip_mid - behind
        self._lathe(top, bottom, stations, sides, fronts, paint)

    def _torso(self) -> None:
        who, build = self.who, self.who.build
        shoulder = (self.half_shoulder + 0.01) * (0.7 + 0.3 * build)
        hip = (self.half_hip + 0.054) * (0.5 + 0.5 * build)
        waist = (0.45 * shoulder + 0.55 * hip) * who.waist
        length = who.upper_length
        stations = (-0.13, -0.05, 0.06, 0.3, 0.62, 0.98, max(length, 0.985))
        tail = hip * (1.0 + 0.25 * (length - 1)) if length > 1 else hip
        sides = (0.028, shoulder * 0.72, shoulder * 0.98, shoulder * 0.93, waist, hip, tail)
        depths = (0.026, 0.046, 0.06, 0.078, 0.068, 0.08, 0.083)
        fronts = tuple(d * build for d in depths)
        paint = upper_paint(who, self.tone, 0.11 * build, self.torso)
        self._lathe(self.shoulder_mid, self.hip_mid, stations, sides, fronts, paint)

    def _arms(self) -> None:
        who, build = self.who, self.who.build
        skin = self.tone(who.skin)
        cover = {"none": 0.0, "short": 0.62, "long": 1.93}[who.sleeve]
        cloth = garment_paint(who.sleeve_cloth, self.tone, 0.05, 0.15)
        lower_cloth = garment_paint(who.sleeve_cloth, self.tone, 0.05, 0.15, 0.15)
        for side in (0, 1):
            shoulder, elbow = self.p[SHOULDERS[side]], self.p[ELBOWS[side]]
            wrist = self.p[WRISTS[side]]
            self._tube(shoulder, elbow, 0.034 * build, 0.026 * build, skin)
            self._tube(elbow, wrist, 0.026 * build, 0.019 * build, skin)
            hand = wrist + (wrist - elbow) * 0.14
            self._tube(wrist, hand, 0.021, 0.019, skin)
            if cover > 0:
                end = shoulder + (elbow - shoulder) * min(cover, 1.0)
                self._tube(shoulder, end, 0.042 * build, 0.036 * build, cloth)
            if cover > 1:
                end = elbow + (wrist - elbow) * (cover - 1)
                self._tube(elbow, end, 0.036 * build, 0.028 * build, lower_cloth)

    def _head(self) -> None:
        who, unit = self.who, self.unit
        middle = (self.p[EARS[0]] + self.p[EARS[1]]) / 2
        look = self.p[NOSE] - middle
        azimuth = float(np.arctan2(look[0], look[2]))
        forward = np.array([np.sin(azimuth), 0, np.cos(azimuth)], np.float32)
        size = 1.0 / who.height
        base = self.p[NECK] + np.array([0, 0.01, 0], np.float32) * unit
        self._tube(base, middle, 0.03 * who.build, 0.03, self.tone(who.skin))
        up = np.array([0, -0.068, 0], np.float32) * unit * size
        side = np.array([0.0, 0.026, 0.042, 0.05, 0.051, 0.046, 0.034, 0.012]) * size
        front = np.array([0.0, 0.032, 0.051, 0.06, 0.059, 0.055, 0.048, 0.02]) * size
        stations = (0.0, 0.05, 0.17, 0.36, 0.55, 0.75, 0.92, 1.0)
        self.canvas.lathe(
            middle + up,
            middle - up * np.float32(1.02),
            (stations, tuple(side * unit), tuple(front * unit)),
            azimuth,
            head_paint(who, self.tone),
        )
        chin = np.array([0, 0.012, 0], np.float32) * unit
        tip = middle + chin + forward * 0.062 * size * unit
        self._tube(tip - chin, tip, 0.006, 0.010, self.tone(who.skin))
        self._hair(middle, forward, size)

    def _hair(self, middle: Floats, forward: Floats, size: float) -> None:
        who, unit = self.who, self.unit
        hair = self.tone(who.hair)
        down = np.array([0, 1, 0], np.float32) * unit
        back = middle - forward * 0.035 * unit * size
        if who.hair_style in ("bob", "long"):
            length = 0.075 if who.hair_style == "bob" else 0.15 + 0.06 * who.upper.shape
            self._tube(back - down * 0.01, back + down * length, 0.049, 0.044, hair)
        if who.hair_style == "ponytail":
            knot = middle - forward * 0.062 * unit - down * 0.02
            self._tube(knot, knot - forward * 0.02 * unit + down * 0.13, 0.019, 0.011, hair)
        if who.hair_style == "bun":
            knot = middle - forward * 0.05 * unit - down * 0.058
            self._tube(knot, knot, 0.027, 0.027, hair)
        if who.hair_style == "cap":
            brim = middle - down * 0.022
            start, end = brim + forward * 0.045 * unit, brim + forward * 0.085 * unit
            self._tube(start, end + down * 0.006, 0.014, 0.012, self.tone(who.headwear))
        if who.hair_style == "scarf":
            cover = self.tone(who.headwear)
            self._tube(middle + down * 0.06, self.p[NECK] + down * 0.02, 0.046, 0.075, cover)

    def _bag(self) -> None:
        who, unit = self.who, self.unit
        color = self.tone(who.bag_cloth)
        down = np.array([0, 1, 0], np.float32) * unit
        if who.bag == "backpack":
            spine = self.shoulder_mid - self.forward * 0.1 * unit + down * 0.015
            self._pouch(spine, 0.24, 0.092, 0.055, color)
        elif who.bag == "handbag":
            wrist = self.p[WRISTS[1 if who.bag_side > 0 else 0]]
            top = wrist + down * 0.05
            for shift in (-0.03, 0.03):
                grip = top + self.forward * shift * unit
                self._tube(wrist + down * 0.015, grip, 0.006, 0.006, color)
            self._lathe(
                top,
                top + down * 0.1,
                (0.0, 0.1, 1.0),
                (0.018, 0.026, 0.03),
                (0.045, 0.052, 0.06),
                color,
            )
        else:
            hip = self.hip_mid + self.left * who.bag_side * (self.half_hip + 0.07) * unit
            top = hip - down * 0.05
            self._pouch(top, 0.12, 0.035, 0.07, color)

    def _umbrella(self) -> None:
        cover = self.tone(self.who.headwear)
        down = np.array([0, 1, 0], np.float32) * self.unit
        top = (self.p[EARS[0]] + self.p[EARS[1]]) / 2 - down * 0.15
        self._lathe(
            top,
            top + down * 0.1,
            (0.0, 0.25, 0.7, 1.0),
            (0.01, 0.11, 0.19, 0.22),
            (0.01, 0.11, 0.19, 0.22),
            cover,
        )
        self._tube(top, self.p[WRISTS[1 if self.who.bag_side > 0 else 0]], 0.005, 0.005, cover)

    def _pouch(self, top: Floats, length: float, side: float, front: float, color: Floats) -> None:
        bottom = top + np.array([0, length * self.unit, 0], np.float32)
        self._lathe(
            top,
            bottom,
            (0.0, 0.08, 0.5, 0.92, 1.0),
            (side * 0.7, side * 0.95, side, side * 0.98, side * 0.8),
            (front * 0.5, front * 0.8, front, front, front * 0.8),
            color,
        )
