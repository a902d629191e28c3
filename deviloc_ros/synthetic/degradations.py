"""Make pictures worse as the world makes them: too little light or too much, motion, dirt, compression. Seeded."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from deviloc_ros.imaging import mirror_image
from deviloc_ros.synthetic.photo import add_noise, blur_motion, compress

GAMMA = 2.2  # of sRGB, nearly: a pixel's value is light ** (1 / GAMMA)
NIGHT_LIGHT = (0.01, 0.05)  # of the light by day
FULL_WELL, READ_NOISE = 10_000, 4  # electrons of a pixel of a small sensor at white, and of its noise in the dark
OVEREXPOSURE = 4.0  # times the light: two stops
COVERED_SHARE = 0.3
PLATE_GRAY = 110
RECTANGLES, SIDES_PX, BLUR_PX = 3000, (4, 40), 0.7  # on it: something for every kind of keypoint
SPOTS, SPOT_SHARE = 60, (0.01, 0.06)  # of dirt, and their radii as shares of the width
SPOT_OPACITY, VEIL = (0.3, 0.9), 0.35  # of dirt out of focus: what it hides, and the stray light that it adds
JPEG_QUALITY = 10


def darken_to_night(gray: NDArray, rng: Generator) -> NDArray:
    """Expose (H, W) uint8 to 1 to 5 % of its light, with the noise of photons and of a sensor."""
    share = float(np.exp(rng.uniform(*np.log(NIGHT_LIGHT))))
    light = share * to_light(gray)
    return from_light(add_noise(light, rng, shot=FULL_WELL**-0.5, read=READ_NOISE / FULL_WELL))


def overexpose(gray: NDArray, rng: Generator) -> NDArray:
    """Expose two stops too long: what was brighter than a quarter of white is white."""
    return from_light(OVEREXPOSURE * to_light(gray))


def to_light(gray: NDArray) -> NDArray:
    """Return the light that gave (H, W) uint8, float32 in [0, 1]."""
    light: NDArray = (gray.astype(np.float32) / 255) ** np.float32(GAMMA)
    return light


def from_light(light: NDArray) -> NDArray:
    """Return (H, W) uint8 of light, cut at black and white."""
    encoded: NDArray = np.clip(light, 0, 1) ** np.float32(1 / GAMMA)
    return (encoded * 255 + 0.5).astype(np.uint8)


def smear(gray: NDArray, rng: Generator, length_px: float) -> NDArray:
    """Blur as a motion over `length_px` during the exposure does, in a random direction."""
    light = blur_motion(gray.astype(np.float32), length_px, rng.uniform(0, np.pi))
    return np.clip(light + 0.5, 0, 255).astype(np.uint8)


def halve(gray: NDArray, rng: Generator) -> NDArray:
    """Return the picture at half the width and height."""
    height, width = gray.shape
    return cv2.resize(gray, (width // 2, height // 2), interpolation=cv2.INTER_AREA)


def cover(gray: NDArray, rng: Generator) -> NDArray:
    """Put a textured thing before the camera, over COVERED_SHARE of the picture, somewhere in it."""
    height, width = gray.shape
    side = COVERED_SHARE**0.5
    h, w = round(height * side), round(width * side)
    y, x = rng.integers(0, [height - h + 1, width - w + 1])
    covered = gray.copy()
    covered[y : y + h, x : x + w] = paint_rectangles((h, w), rng)
    return covered


def paint_rectangles(shape: tuple[int, int], rng: Generator) -> NDArray:
    """Return (H, W) uint8 of rectangles of all sizes, one over the other: corners everywhere."""
    painted = np.full(shape, PLATE_GRAY, np.uint8)
    for _ in range(RECTANGLES):
        x, y = rng.integers(0, shape[::-1])
        across, up = rng.integers(*SIDES_PX, 2)
        painted[y : y + up, x : x + across] = rng.integers(0, 256)
    return cv2.GaussianBlur(painted, (0, 0), BLUR_PX)  # as a lens does


def compress_hard(gray: NDArray, rng: Generator) -> NDArray:
    """Compress to a JPEG of quality 10 and decode again."""
    return compress(gray, JPEG_QUALITY)


def soil_lens(gray: NDArray, rng: Generator) -> NDArray:
    """Put dirt on the lens: blurred spots that hide a part of the light, and scatter some."""
    height, width = gray.shape
    clear = np.ones((height, width), np.float32)
    for _ in range(SPOTS):
        centre = rng.integers(0, [width, height])
        radius = width * rng.uniform(*SPOT_SHARE)
        spot = np.zeros_like(clear)
        cv2.circle(spot, centre.tolist(), max(1, round(radius)), rng.uniform(*SPOT_OPACITY), -1)
        clear *= 1 - cv2.GaussianBlur(spot, (0, 0), radius / 3)
    light = to_light(gray)
    return from_light(clear * light + (1 - clear) * VEIL * light.mean())


def mirror(gray: NDArray, rng: Generator) -> NDArray:
    """Return the picture with left and right exchanged."""
    return mirror_image(gray)
