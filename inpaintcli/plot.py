"""A plot of quality against time as SVG, to stand inside an HTML page that styles it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from inpaintcli.webpage import text

#: The plot's size, and the room for its axes: left, top, right, bottom. A unit is a CSS pixel where
#: the page shows it in its own size.
WIDTH, HEIGHT = 760, 400
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 20, 24, 52
_RADIUS = 5.0
#: Height of a line of text, and at least the width of a letter.
_LINE, _LETTER = 17.0, 7.4


@dataclass(frozen=True)
class Point:
    """A method: its name, seconds a megapixel (above 0) and quality in dB."""

    name: str
    seconds: float
    quality: float


@dataclass(frozen=True)
class Box:
    """A rectangle, in units of the plot."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """True where they overlap."""
        return (
            self.left < other.right and other.left < self.right
            and self.top < other.bottom and other.top < self.bottom
        )  # fmt: skip

    def within(self, other: Box) -> bool:
        """True where it lies inside."""
        return (
            self.left >= other.left and self.right <= other.right
            and self.top >= other.top and self.bottom <= other.bottom
        )  # fmt: skip


#: Where points and labels may be.
_ROOM = Box(_LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM)


def plot(points: Sequence[Point], title: str) -> str:
    """An `<svg>` of at least one point: time across, in a log scale, and quality up."""
    low, high = _padded([math.log10(one.seconds) for one in points], 0.12, 0.35)
    poor, good = _padded([one.quality for one in points], 0.14, 1.0)

    def x(seconds: float) -> float:
        return _LEFT + (math.log10(seconds) - low) / (high - low) * (_ROOM.right - _LEFT)

    def y(quality: float) -> float:
        return _ROOM.bottom - (quality - poor) / (good - poor) * (_ROOM.bottom - _TOP)

    places = [(x(one.seconds), y(one.quality)) for one in points]
    parts = [
        f'<path class="grid" d="M{_LEFT} {y(tick):.1f}H{_ROOM.right}"/>'
        f'<text x="{_LEFT - 10}" y="{y(tick) + 4.5:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in _even_ticks(poor, good)
    ]
    parts += [
        f'<path class="grid" d="M{x(tick):.1f} {_TOP}V{_ROOM.bottom}"/>'
        f'<text x="{x(tick):.1f}" y="{_ROOM.bottom + 19}" text-anchor="middle">{tick:g}</text>'
        for tick in _log_ticks(low, high)
    ]
    middle = (_LEFT + _ROOM.right) / 2
    parts += [
        f'<text x="{middle:g}" y="{HEIGHT - 10}" text-anchor="middle">'
        "seconds a megapixel, log scale</text>",
        f'<text transform="translate(15 {(_TOP + _ROOM.bottom) / 2:g}) rotate(-90)" '
        'text-anchor="middle">hole PSNR, dB</text>',
    ]
    front = [place for one, place in zip(points, places, strict=True) if unbeaten(one, points)]
    if len(front) > 1:
        front.sort()
        steps = "".join(f"H{across:.1f}V{up:.1f}" for across, up in front[1:])
        parts.append(f'<path class="front" d="M{front[0][0]:.1f} {front[0][1]:.1f}{steps}"/>')
    for one, (across, up), (label, leader) in zip(
        points, places, _labels(points, places), strict=True
    ):
        kind = "point unbeaten" if unbeaten(one, points) else "point"
        if leader:
            end = min(max(across, label.left), label.right)
            edge = label.bottom - 3 if label.bottom <= up else label.top + 3
            parts.append(f'<path class="leader" d="M{across:.1f} {up:.1f}L{end:.1f} {edge:.1f}"/>')
        if label.right < across:
            place, anchor = label.right - 3, "end"
        elif label.left > across:
            place, anchor = label.left + 3, "start"
        else:
            place, anchor = (label.left + label.right) / 2, "middle"
        parts.append(
            f'<circle class="{kind}" cx="{across:.1f}" cy="{up:.1f}" r="{_RADIUS:g}"><title>'
            f"{text(one.name)}: {one.quality:.2f} dB, {one.seconds:.3g} s/MP</title></circle>"
            f'<text class="label" x="{place:.1f}" y="{label.bottom - 4:.1f}" '
            f'text-anchor="{anchor}">'
            f"{text(one.name)}</text>"
        )
    inside = "\n".join(parts)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(title)}">\n'
        f"{inside}\n</svg>\n"
    )


def unbeaten(one: Point, points: Sequence[Point]) -> bool:
    """True where no point is as good in both, and better in one."""
    return not any(
        other.seconds <= one.seconds and other.quality >= one.quality
        and (other.seconds, other.quality) != (one.seconds, one.quality)
        for other in points
    )  # fmt: skip


def _padded(values: Sequence[float], share: float, least: float) -> tuple[float, float]:
    """From the smallest to the largest, with a share of that (and of `least`) on both sides."""
    low, high = min(values), max(values)
    span = max(high - low, least)
    middle = (low + high) / 2
    half = span * (0.5 + share)
    return middle - half, middle + half


def _even_ticks(low: float, high: float) -> list[float]:
    """Round numbers between, at most seven."""
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough)
    first = math.ceil(low / step)
    return [round(at * step, 9) for at in range(first, math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between 10^low and 10^high; where these are few, 2 and 5 times them too."""
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        powers = range(math.floor(low), math.ceil(high) + 1)
        ticks = [step * 10.0**power for power in powers for step in steps]
        inside = [float(f"{tick:.2g}") for tick in ticks if low <= math.log10(tick) <= high]
        if len(inside) >= 4:
            break
    return inside


def _labels(
    points: Sequence[Point], places: Sequence[tuple[float, float]]
) -> list[tuple[Box, bool]]:
    """Where the names stand, and which are so far from their point that a line must lead there.

    They meet neither each other nor a point, as far as there is room.
    """
    dots = [Box(x - 7, y - 7, x + 7, y + 7) for x, y in places]
    taken: dict[int, Box] = {}
    led: dict[int, bool] = {}
    # Who has most neighbours chooses first.
    order = sorted(
        range(len(points)),
        key=lambda at: -sum(
            math.dist(places[at], other) < 80 for other in places
        ),
    )  # fmt: skip
    for at in order:
        wide = _LETTER * len(points[at].name) + 6
        apart = [*taken.values(), *(dot for other, dot in enumerate(dots) if other != at)]
        places_for_it = list(_candidates(places[at], wide))
        free = (
            (box, far)
            for box, far in places_for_it
            if box.within(_ROOM) and not any(box.meets(other) for other in apart)
        )
        taken[at], led[at] = next(free, places_for_it[-1])
    return [(taken[at], led[at]) for at in range(len(points))]


def _candidates(place: tuple[float, float], wide: float) -> Iterator[tuple[Box, bool]]:
    """Where a label of this width may stand, the best places first; whether they are far off."""
    x, y = place

    def box(left: float, middle: float) -> Box:
        return Box(left, middle - _LINE / 2, left + wide, middle + _LINE / 2)

    yield box(x + _RADIUS + 3, y), False
    yield box(x - _RADIUS - 3 - wide, y), False
    yield box(x - wide / 2, y - _LINE + 1), False
    yield box(x - wide / 2, y + _LINE - 1), False
    for away in range(2, 20):
        for up in (-1, 1):
            for left in (x - wide / 2, x + 4, x - wide - 4):
                yield box(left, y + up * away * _LINE * 0.8), True
    yield box(min(max(x + _RADIUS + 3, _ROOM.left), _ROOM.right - wide), y), False
