"""Draw the folders of the code and the imports between them: `python docs/draw_architecture.py`.

The picture is computed from the import statements. Rows are layers: a folder imports only from rows below its own. An arrow
that follows from other arrows is left out. The PNG file carries the complete list of imports; a test compares it with the code.
"""

from __future__ import annotations

import ast
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import networkx as nx
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path as MatplotlibPath
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.png"
COLOURS = {"calibration": "#f3d9c3", "experiments": "#d8ecd2", "hattriq_cirq": "#d6e4f2"}
Point = tuple[float, float]


def folder_of(module: str) -> str | None:
    """Return the folder of a module of hattriq_cirq, or its package; None for all other modules."""
    package, _, rest = module.partition(".")
    folder = rest.split(".")[0]
    if package == "hattriq_cirq":
        return folder if folder and (ROOT / package / folder).is_dir() else None
    return package if package in COLOURS else None


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, at any depth."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_between_folders() -> dict[str, list[str]]:
    """Return each folder with the other folders that its files import."""
    graph: dict[str, set[str]] = {}
    for package in COLOURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            folder = folder_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
            if folder is not None:
                others = {other for other in map(folder_of, imported_modules(path)) if other not in (None, folder)}
                graph.setdefault(folder, set()).update(other for other in others if other)
    return {folder: sorted(others) for folder, others in sorted(graph.items())}


def imports_in_picture(picture: Path = PICTURE) -> dict[str, list[str]]:
    """Return the imports between folders that a picture shows."""
    with Image.open(picture) as image:
        imports: dict[str, list[str]] = json.loads(image.info["Imports"])
    return imports


def layout(graph: nx.DiGraph) -> tuple[dict[str, Point], list[list[Point]]]:
    """Place the folders in rows so that few arrows cross.

    Args:
        graph: Arrows from each folder to the folders that it imports.

    Returns:
        The position of each folder, and the points of each arrow, one in every row that it passes.
    """
    row_of = {name: row for row, names in enumerate(nx.topological_generations(graph.reverse())) for name in names}
    chains = [
        [start, *((start, end, row) for row in range(row_of[start] - 1, row_of[end], -1)), end] for start, end in graph.edges
    ]
    steps = [pair for chain in chains for pair in itertools.pairwise(chain)]
    rows: list[list[Any]] = [[] for _ in range(max(row_of.values()) + 1)]
    for node in sorted(nx.Graph(steps), key=str):
        rows[node[2] if isinstance(node, tuple) else row_of[node]].append(node)
    places = min((_sorted_places(rows, nx.Graph(steps), seed) for seed in range(100)), key=lambda each: _disorder(each, steps))
    return {name: places[name] for name in graph}, [[places[node] for node in chain] for chain in chains]


def _sorted_places(rows: list[list[Any]], neighbours: nx.Graph, seed: int) -> dict[Any, Point]:
    """Sort each row by the mean column of the neighbours, upwards and downwards in turn, from a random order."""
    rng = random.Random(seed)
    rows = [rng.sample(row, len(row)) for row in rows]
    places: dict[Any, Point] = {}
    for _ in range(8):
        for height, row in [*enumerate(rows), *reversed(list(enumerate(rows)))]:
            row.sort(key=lambda node: fmean([places[other][0] for other in neighbours[node] if other in places] or [0.0]))
            places |= {node: (1.3 * (i - (len(row) - 1) / 2), float(height)) for i, node in enumerate(row)}
    return places


def _disorder(places: dict[Any, Point], steps: list[tuple[Any, Any]]) -> tuple[int, float]:
    """Return the number of crossings and the horizontal length of all steps from row to row."""
    lines = [(places[upper], places[lower]) for upper, lower in steps]
    crossings = sum(a[1] == c[1] and (a[0] - c[0]) * (b[0] - d[0]) < 0 for (a, b), (c, d) in itertools.combinations(lines, 2))
    return crossings, sum(abs(upper[0] - lower[0]) for upper, lower in lines)


def draw(imports: dict[str, list[str]]) -> Figure:
    """Draw the folders as boxes and their imports as arrows."""
    graph = nx.DiGraph((folder, other) for folder, others in imports.items() for other in others)
    graph = nx.DiGraph(sorted(nx.transitive_reduction(graph).edges))
    places, arrows = layout(graph)
    figure = Figure(figsize=(9, 8), layout="constrained")
    ax = figure.subplots()
    for points in arrows:
        points = [(points[0][0], points[0][1] - 0.2), *points[1:-1], (points[-1][0], points[-1][1] + 0.2)]
        curve = [points[0]]
        for (x, y), (next_x, next_y) in itertools.pairwise(points):
            curve += [(x, (y + next_y) / 2), (next_x, (y + next_y) / 2), (next_x, next_y)]
        path = MatplotlibPath(curve, [MatplotlibPath.MOVETO] + [MatplotlibPath.CURVE4] * (len(curve) - 1))
        ax.add_patch(FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=12, color="0.45", lw=1.2))
    for folder, (x, y) in places.items():
        box = {"boxstyle": "round,pad=0.5", "facecolor": COLOURS.get(folder, COLOURS["hattriq_cirq"]), "edgecolor": "0.3"}
        ax.text(x, y, folder, ha="center", va="center", fontsize=11, bbox=box)
    xs, ys = zip(*(point for points in arrows for point in points), strict=True)
    ax.set(xlim=(min(xs) - 0.7, max(xs) + 0.7), ylim=(min(ys) - 0.3, max(ys) + 0.3))
    ax.axis("off")
    return figure


if __name__ == "__main__":
    current = imports_between_folders()
    draw(current).savefig(PICTURE, dpi=110, metadata={"Imports": json.dumps(current), "Software": None})
    print(PICTURE.relative_to(ROOT))
