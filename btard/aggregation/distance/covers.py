"""Whether few vertices of a graph touch all of its edges (the vertex cover problem)."""

from __future__ import annotations


def can_be_covered(edges: list[int], most: int) -> bool:
    """Return whether at most so many vertices touch every edge.

    The search tries the vertex with the most edges: it is in the cover, or all of its neighbours are. Once none has
    more than two, the graph is of paths and circles, and needs no search. That makes at most about 1.47^most steps.

    Args:
        edges: for each vertex, its neighbours as bits; no vertex is its own neighbour.
        most: vertices in the cover; not negative.
    """
    degrees = [neighbours.bit_count() for neighbours in edges]
    while True:
        top = max(degrees, default=0)
        if top == 0:
            return True
        if most == 0 or sum(degrees) > 2 * most * top:
            return False
        leaf = degrees.index(1) if 1 in degrees else -1
        if leaf >= 0:  # the neighbour covers at least as much as the leaf
            chosen = edges[leaf].bit_length() - 1
        elif top <= 2:  # a circle, of which any vertex is in some smallest cover
            chosen = degrees.index(2)
        else:
            break
        edges, degrees = _without(edges, 1 << chosen)
        most -= 1
    vertex = degrees.index(top)
    if can_be_covered(_without(edges, 1 << vertex)[0], most - 1):
        return True
    return top <= most and can_be_covered(_without(edges, edges[vertex])[0], most - top)


def _without(edges: list[int], gone: int) -> tuple[list[int], list[int]]:
    """Return the graph without some vertices, and its degrees."""
    left = [0 if gone >> vertex & 1 else neighbours & ~gone for vertex, neighbours in enumerate(edges)]
    return left, [neighbours.bit_count() for neighbours in left]
