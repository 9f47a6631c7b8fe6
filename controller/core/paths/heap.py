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
    while 4 * at + 1 < size:
        child = 4 * at + 1
        for other in range(child + 1, min(child + 4, size)):
            if heap[other, 0] < heap[child, 0]:
                child = other
        if heap[child, 0] >= key:
            break
        heap[at, 0], heap[at, 1] = heap[child, 0], heap[child, 1]
        at = child
    heap[at, 0], heap[at, 1] = key, item
