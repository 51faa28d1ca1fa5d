"""A chart of a few lines as SVG: the x axis in powers of two, the y axis from zero, a name at the end of each line."""

from dataclasses import dataclass
from html import escape
from math import ceil, floor, log2, log10

WIDTH, HEIGHT = 760, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 190, 44, 48
COLOURS = ("#1f6f8b", "#c8553d", "#588157", "#7b5ea7")
DASHES = ("", "7 4", "2 3", "9 3 2 3")  # Told apart without colour as well.
TICKS = 5  # At most, above zero.
NAME_PX = 15  # Between two names, so that they do not lie on each other.


@dataclass(frozen=True, slots=True)
class Line:
    """Points of x and y, x ascending and above zero."""

    name: str
    points: list[tuple[float, float]]


def chart(title: str, axes: tuple[str, str], lines: list[Line]) -> str:
    """A whole SVG file."""
    every = [point for line in lines for point in line.points]
    low, high = log2(min(x for x, _ in every)), log2(max(x for x, _ in every))
    step = _step(max(y for _, y in every))
    ticks = ceil(max(y for _, y in every) / step)
    top = step * ticks

    def place(x: float, y: float) -> tuple[float, float]:
        across = (log2(x) - low) / (high - low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12" fill="#222">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 10}">{escape(axes[0])}</text>',
        f'<text x="{LEFT}" y="{TOP - 8}" fill="#666">{escape(axes[1])}</text>',
    ]
    for number in range(ticks + 1):
        y = place(2**low, number * step)[1]
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number * step:g}</text>')
    for x in sorted({x for x, _ in every}):
        parts.append(f'<text x="{place(x, 0)[0]:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{x:g}</text>')
    heights = _apart([place(*line.points[-1])[1] for line in lines])
    for number, (line, height) in enumerate(zip(lines, heights, strict=True)):
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line.points))
        end = place(*line.points[-1])[0]
        parts.append(
            f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
        )
        parts.append(f'<text x="{end + 8:.1f}" y="{height + 4:.1f}" fill="{colour}">{escape(line.name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _step(most: float) -> float:
    """Between two marks: 1, 2 or 5 times a power of ten, so that all fits below the topmost."""
    least = most / TICKS
    power = 10.0 ** floor(log10(least))
    return next(power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= least)


def _apart(heights: list[float]) -> list[float]:
    """The same heights in their order, moved down where two would lie on each other."""
    moved = list(heights)
    last = float("-inf")
    for place in sorted(range(len(moved)), key=lambda place: moved[place]):
        last = moved[place] = max(moved[place], last + NAME_PX)
    return moved
