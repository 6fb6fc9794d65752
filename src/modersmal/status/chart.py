"""A curve in a terminal: dots of Braille between two labelled axes, or one line of blocks."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

Point = tuple[float, float]

_NARROW = 24  # columns: below this there is no room for axes
_BLOCKS = "▁▂▃▄▅▆▇█"
_BLANK = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # bits by row and column
_DOT_ROWS, _DOT_COLUMNS = 4, 2


def chart(
    points: Sequence[Point],
    *,
    width: int,
    height: int = 5,
    x_label: Callable[[float], str] = "{:,.0f}".format,
    y_label: Callable[[float], str] = "{:.1%}".format,
) -> list[str]:
    """Draw `points` (x rising) as lines of at most `width` characters.

    `height` counts the rows of the plot itself; the axes' ends carry the smallest and largest
    values. In less than 24 columns it is one line of blocks. Fewer than two points that are
    numbers give no lines.
    """
    points = [point for point in points if all(map(math.isfinite, point))]
    if len(points) < 2:
        return []
    low, high = _ends(points, 1)
    labels = [y_label(high), *[""] * (height - 2), y_label(low)]
    if low == high:
        labels = [y_label(low) if row == height // 2 else "" for row in range(height)]
    gutter = max(map(len, labels))
    columns = width - gutter - 2
    if width < _NARROW or columns < 2:
        return [_blocks(points, width)]
    lines = [
        f"{label:>{gutter}} {'┤' if label else '│'}{row}"
        for label, row in zip(labels, _braille(points, columns, height), strict=True)
    ]
    left, right = (x_label(value) for value in _ends(points, 0))
    under = left + right.rjust(max(0, columns - len(left)))
    indent = " " * (gutter + 1)
    lines.append(f"{indent}└{'─' * columns}")
    if len(left) + len(right) < columns:
        lines.append(f"{indent} {under}")
    return [line.rstrip() for line in lines]


def _ends(points: Sequence[Point], axis: int) -> Point:
    values = [point[axis] for point in points]
    return min(values), max(values)


def _braille(points: Sequence[Point], columns: int, rows: int) -> list[str]:
    cells = [[_BLANK] * columns for _ in range(rows)]
    for x, y in _line(_dots(points, columns * _DOT_COLUMNS, rows * _DOT_ROWS)):
        bits = _DOTS[y % _DOT_ROWS][x % _DOT_COLUMNS]
        cells[y // _DOT_ROWS][x // _DOT_COLUMNS] |= bits
    return ["".join(" " if cell == _BLANK else chr(cell) for cell in row) for row in cells]


def _dots(points: Sequence[Point], wide: int, high: int) -> list[tuple[int, int]]:
    """Points as dots, counted from the top left."""
    first, last = _ends(points, 0)
    bottom, top = _ends(points, 1)
    return [
        (
            round(_share(x, first, last) * (wide - 1)),
            round((1 - _share(y, bottom, top)) * (high - 1)),
        )
        for x, y in points
    ]


def _share(value: float, low: float, high: float) -> float:
    """Where a value lies between two, from 0 to 1; in the middle where they are the same."""
    return (value - low) / (high - low) if high > low else 0.5


def _line(dots: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """All dots on the straight lines from each dot to the next."""
    for (x, y), (next_x, next_y) in itertools.pairwise(dots):
        steps = max(abs(next_x - x), abs(next_y - y), 1)
        for step in range(steps + 1):
            yield x + round(step * (next_x - x) / steps), y + round(step * (next_y - y) / steps)


def _blocks(points: Sequence[Point], width: int) -> str:
    """The newest value in each of at most `width` equal parts of the points."""
    count = max(1, min(width, len(points)))
    taken = [points[(place + 1) * len(points) // count - 1] for place in range(count)]
    low, high = _ends(points, 1)
    return "".join(_BLOCKS[round(_share(y, low, high) * (len(_BLOCKS) - 1))] for _, y in taken)
