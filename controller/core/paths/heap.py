"""A heap of (key, node) rows for kernels, four children to a node: the least key in row 0."""

from __future__ import annotations

from controller.core.compiled import compiled
from controller.core.graph import Longs


@compiled
def push(heap: Longs, size: int, key: int, item: int) -> int:
    """Put (key, item) in; returns the new size."""
    at = size
    while at:
        up = (at - 1) >> 2
        if heap[up, 0] <= key:
            break
        heap[at, 0], heap[at, 1] = heap[up, 0], heap[up, 1]
        at = up
    heap[at, 0], heap[at, 1] = key, item
    return size + 1


@compiled
def pop(heap: Longs, size: int) -> int:
    """Take row 0 away (read it before); returns the new size."""
    size -= 1
    replace(heap, size, heap[size, 0], heap[size, 1])
    return size


@compiled
def replace(heap: Longs, size: int, key: int, item: int) -> None:
    """Put (key, item) in the stead of row 0: what pop and push in one cost half of."""
    at = 0
    while 4 * at + 4 < size:  # all four are there: two and two, without a loop
        first, last = 4 * at + 1, 4 * at + 3
        first += heap[first + 1, 0] < heap[first, 0]
        last += heap[last + 1, 0] < heap[last, 0]
        child = last if heap[last, 0] < heap[first, 0] else first
        if heap[child, 0] >= key:
            break
        heap[at, 0], heap[at, 1] = heap[child, 0], heap[child, 1]
        at = child
    if 4 * at + 4 >= size:
        at = _among_the_last(heap, size, at, key)
    heap[at, 0], heap[at, 1] = key, item


@compiled
def _among_the_last(heap: Longs, size: int, at: int, key: int) -> int:
    """Where a key belongs whose row has fewer than four children."""
    least = at
    for child in range(4 * at + 1, size):
        if heap[child, 0] < (key if least == at else heap[least, 0]):
            least = child
    if least != at:
        heap[at, 0], heap[at, 1] = heap[least, 0], heap[least, 1]
    return least
