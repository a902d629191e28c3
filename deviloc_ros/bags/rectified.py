"""Decide whether a camera's images are rectified, by the topic's name, and whether that makes a difference."""

from __future__ import annotations

import numpy as np

from deviloc_ros.camera import Camera
from deviloc_ros.messages.camera_book import CameraBook, Lenses

NOTABLE_PX = 2.0  # a smaller difference between two lenses does not matter
GRID = 9  # points per side at which lenses are compared


def says_rectified(image_topic: str) -> bool:
    """Return whether a topic's name is that of rectified images, as image_rect, image_rect_color or rectified."""
    return any("rect" in part.split("_") or "rectified" in part for part in image_topic.lower().split("/"))


def is_worth_asking(cameras: CameraBook) -> bool:
    """Return whether rectification makes a difference: whether K with D differs from P."""
    return any(
        difference_px(lens.raw, lens.rectified) > NOTABLE_PX
        for lens in cameras.lenses
        if isinstance(lens.raw, Camera) and isinstance(lens.rectified, Camera)
    )


def describe_lens(cameras: CameraBook, image_topic: str) -> str:
    """Say whether images are assumed to be rectified by their topic's name, if that matters; else return nothing."""
    if not is_worth_asking(cameras):
        return ""
    if says_rectified(image_topic):
        return f"{image_topic} is named like rectified images: P describes them; if they are not, give --no-rectified"
    if any(is_suspicious(lens) for lens in cameras.lenses):
        return (
            "camera_info has a distortion, and P as K: rectified images with D left in, or a driver that repeats K? "
            f"{image_topic} is taken for images as they were taken; if they are rectified, give --rectified"
        )
    return ""


def is_suspicious(lens: Lenses) -> bool:
    """Return whether P repeats K in spite of distortion: usually P differs, unless it was not filled in."""
    raw, rectified = lens.raw, lens.rectified
    if not isinstance(raw, Camera) or not isinstance(rectified, Camera):
        return False
    return raw.model != "PINHOLE" and np.allclose(raw.params[:4], rectified.params[:4])


def difference_px(one: Camera, other: Camera) -> float:
    """Return the largest distance [px] between projections of one direction, over pixels where the first has rays."""
    x, y = np.meshgrid(np.linspace(0, one.width - 1, GRID), np.linspace(0, one.height - 1, GRID))
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    rays = one.rays(pixels)
    seen = np.isfinite(rays).all(axis=1)
    return float(np.abs(other.project(rays[seen]) - pixels[seen]).max(initial=0.0))
