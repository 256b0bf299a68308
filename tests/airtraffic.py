"""What the example `polyglot` must find, computed in other ways: by vectors, by relaxation, by trying."""

import csv
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "polyglot"
RADIUS = 6371.0088
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Traffic:
    """Flights by route, and where the airports are: unit vectors from the centre of the Earth."""

    places: dict[str, Vector]
    flights: dict[tuple[str, str], int]

    @cached_property
    def airports(self) -> set[str]:
        """Airports that have flights."""
        return {airport for route in self.flights for airport in route}

    def distance(self, origin: str, destination: str) -> float:
        """Kilometres along the great circle: the angle between two vectors."""
        a, b = self.places[origin], self.places[destination]
        cross = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
        return RADIUS * math.atan2(math.hypot(*cross), sum(x * y for x, y in zip(a, b, strict=True)))

    def kilometres(self) -> float:
        """Of all flights together."""
        return math.fsum(count * self.distance(*route) for route, count in self.flights.items())

    def longest(self) -> tuple[str, str]:
        """The longest route."""
        return max(self.flights, key=lambda route: self.distance(*route))

    def ranks(self, damping: float) -> dict[str, float]:
        """PageRank by Gauss-Seidel relaxation: each rank from the newest of the others."""
        leaving, coming = Counter[str](), defaultdict[str, list[tuple[str, int]]](list)
        for (origin, destination), count in self.flights.items():
            leaving[origin] += count
            coming[destination].append((origin, count))
        size = len(self.airports)
        stranded = [airport for airport in self.airports if not leaving[airport]]
        rank = dict.fromkeys(self.airports, 1 / size)
        for _ in range(300):
            for airport in rank:
                lost = sum(rank[other] for other in stranded)
                arriving = sum(rank[other] * count / leaving[other] for other, count in coming[airport])
                rank[airport] = (1 - damping + damping * lost) / size + damping * arriving
        total = math.fsum(rank.values())
        return {airport: value / total for airport, value in rank.items()}

    def critical(self) -> set[str]:
        """Airports without which the network falls apart: each is taken away, and what is left is walked."""
        near = defaultdict[str, set[str]](set)
        for origin, destination in self.flights:
            near[origin].add(destination)
            near[destination].add(origin)
        whole = _parts(near, self.airports)
        return {airport for airport in self.airports if _parts(near, self.airports - {airport}) > whole}


def _parts(near: dict[str, set[str]], airports: set[str]) -> int:
    left, parts = set(airports), 0
    while left:
        parts += 1
        border = {left.pop()}
        while border:
            border = {other for airport in border for other in near[airport]} & left
            left -= border
    return parts


def read(folder: Path = EXAMPLE) -> Traffic:
    """The files of the example, complete: every airport of a route is known, and no route leads nowhere."""
    with (folder / "airports.csv").open(newline="") as file:
        places = {
            row["iata"]: _vector(float(row["latitude"]), float(row["longitude"]))
            for row in csv.DictReader(file)
        }
    with (folder / "flights.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    flights = {(row["origin"], row["destination"]): int(row["count"]) for row in rows}
    assert len(flights) == len(rows)
    assert all(origin != destination for origin, destination in flights)
    return Traffic(places, flights)


def _vector(latitude: float, longitude: float) -> Vector:
    north, east = math.radians(latitude), math.radians(longitude)
    return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)
