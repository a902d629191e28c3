"""Choose which images of a recording are tried: all, every k-th, or those a machine of a given speed would get to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from deviloc_ros.bags.reader import RecordedMessage

Sampled = Iterator[tuple[RecordedMessage, bool]]  # an image, and whether it is tried


def take_every_kth(images: Iterable[RecordedMessage], k: int) -> Iterator[RecordedMessage]:
    """Yield the first image, and each k-th after it; the others are as though they had not been recorded."""
    return (image for number, image in enumerate(images) if number % k == 0)


def try_all(images: Iterable[RecordedMessage]) -> Sampled:
    """Yield every image to be tried."""
    return ((image, True) for image in images)


def try_within_budget(images: Iterable[RecordedMessage], budget_ns: int) -> Sampled:
    """Choose as the node does where an image takes `budget_ns`.

    One waits while it is busy, and a newer one replaces it. The images come in order of receipt, and each is given back
    once, in that order.
    """
    free_ns, waiting = -(2**63), None
    for image in images:
        if waiting is not None:
            start_ns = max(free_ns, waiting.time_ns)
            tried = start_ns <= image.time_ns
            if tried:
                free_ns = start_ns + budget_ns
            yield waiting, tried
        waiting = image
    if waiting is not None:
        yield waiting, True
