"""The colours of the report: enough contrast for everybody, told apart by those who see few hues."""

from __future__ import annotations

from itertools import combinations

import pytest

from aml.monitor.report.styles import DARK, LIGHT, style_sheet

#: What eyes without one kind of cones see: Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
_VISIONS = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}
_TONES = ("good", "info", "warning", "error", "critical")
PALETTES = pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])


def linear(color: str) -> tuple[float, float, float]:
    values = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in values)
    return red, green, blue


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, definition of contrast ratio."""
    lights = sorted(sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear(c), strict=True)) for c in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def seen(color: str, vision: str) -> tuple[float, float, float]:
    """The colour in CIE L*a*b* (D65), as those with that vision see it."""
    mixed = [
        min(1.0, max(0.0, sum(w * v for w, v in zip(row, linear(color), strict=True)))) for row in _VISIONS[vision]
    ]
    to_xyz = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(w * v for w, v in zip(row, mixed, strict=True)) for row in to_xyz]
    x, y, z = (
        (one / white) ** (1 / 3) if one / white > 0.008856 else 7.787 * one / white + 16 / 116
        for one, white in zip(xyz, (0.95047, 1.0, 1.08883), strict=True)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def distance(one: str, other: str, vision: str) -> float:
    pairs = zip(seen(one, vision), seen(other, vision), strict=True)
    return sum((a - b) ** 2 for a, b in pairs) ** 0.5


@PALETTES
def test_text_has_the_contrast_that_readers_need(palette: dict[str, str]) -> None:
    on_cards = [(name, ground) for name in ("ink", "soft", *_TONES) for ground in ("card", "page")]
    others = [("ink", "code"), *((tone, f"{tone}-back") for tone in _TONES), ("soft", "code"), ("soft", "area")]
    low = {pair: round(contrast(*(palette[name] for name in pair)), 2) for pair in [*on_cards, *others]}
    assert {pair: found for pair, found in low.items() if found < 4.5} == {}


@PALETTES
def test_shapes_stand_out_from_the_card_that_they_lie_on(palette: dict[str, str]) -> None:
    low = {name: contrast(palette[name], palette["card"]) for name in ("fill1", "fill2", "fill3", "fill4", "event")}
    assert {name: found for name, found in low.items() if found < 3.0} == {}


@PALETTES
@pytest.mark.parametrize("vision", list(_VISIONS))
def test_kinds_are_told_apart_by_eyes_of_every_sort(palette: dict[str, str], vision: str) -> None:
    colors = [palette[name] for name in ("fill1", "fill2", "fill3")]
    assert min(distance(one, other, vision) for one, other in combinations(colors, 2)) > 20


def test_both_palettes_have_the_same_colours_and_the_sheet_needs_nothing_from_outside() -> None:
    assert LIGHT.keys() == DARK.keys()
    sheet = style_sheet()
    assert all(f"--{name}:{value}" in sheet for palette in (LIGHT, DARK) for name, value in palette.items())
    assert "url(" not in sheet
    assert "@import" not in sheet
    assert not {"<", "&"} & set(sheet)
    assert sheet.count("{") == sheet.count("}")
