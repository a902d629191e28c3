"""Degrade a clean picture as a real camera does: exposure, vignetting, blur, noise, compression. Seeded."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray


def photograph(image: NDArray, rng: Generator, strength: float = 1.0) -> NDArray:
    """Take a plausible photograph of a (H, W) or (H, W, 3) uint8 picture; `strength` 0 does little, 1 is harsh."""
    return compress(expose(image, rng, strength), int(rng.integers(round(97 - 27 * strength), 99)))


def expose(image: NDArray, rng: Generator, strength: float = 1.0) -> NDArray:
    """Apply all effects but compression."""
    light: NDArray = image.astype(np.float32) / 255
    light = apply_auto_exposure(light, rng, strength)
    light = darken_corners(light, rng.uniform(0, 0.5) * strength)
    if rng.random() < 0.4 * strength:
        light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.3, 0.3 + 1.2 * strength))
    if rng.random() < 0.4 * strength:
        light = blur_motion(light, rng.uniform(1, 1 + 8 * strength), rng.uniform(0, np.pi))
    light = add_noise(
        light, rng, shot=rng.uniform(0, 0.02) * strength, read=rng.uniform(0.002, 0.002 + 0.018 * strength)
    )
    return np.clip(light * 255 + 0.5, 0, 255).astype(np.uint8)


def apply_auto_exposure(light: NDArray, rng: Generator, strength: float) -> NDArray:
    """Bring the median near mid-gray, with errors of gain and contrast curve, as automatic exposure does."""
    wanted = 0.42 * np.exp(rng.normal(0, 0.25 * strength))
    gain = wanted / max(float(np.median(light)), 0.05)
    gamma = np.exp(rng.normal(0, 0.2 * strength))
    return np.clip(light * np.clip(gain, 0.4, 4), 0, 1.2) ** np.float32(gamma)


def darken_corners(light: NDArray, amount: float) -> NDArray:
    """Darken towards the corners, by `amount` there."""
    height, width = light.shape[:2]
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]
    gain = 1 - np.float32(amount / 2) * (x**2 + y**2)
    return light * (gain if light.ndim == 2 else gain[..., None])


def blur_motion(light: NDArray, length_px: float, angle_rad: float) -> NDArray:
    """Smear along a straight line, centred so that nothing moves on average."""
    side = 2 * int(np.ceil(length_px / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    steps = np.linspace(-0.5, 0.5, 64) * (length_px - 1)
    # Each step is shared between its four cells: rounding would shift the image by a part of a pixel.
    x, y = side // 2 + steps * np.cos(angle_rad), side // 2 + steps * np.sin(angle_rad)
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = np.abs(1 - dx - (x - x0)) * np.abs(1 - dy - (y - y0))
        np.add.at(kernel, (np.minimum(y0 + dy, side - 1), np.minimum(x0 + dx, side - 1)), weight)
    return cv2.filter2D(light, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def add_noise(light: NDArray, rng: Generator, shot: float, read: float) -> NDArray:
    """Add noise of variance shot**2 * light + read**2."""
    sigma = np.sqrt(shot**2 * np.maximum(light, 0) + read**2)
    return light + sigma * rng.standard_normal(light.shape, np.float32)


def compress(image: NDArray, quality: int) -> NDArray:
    """Compress to JPEG and decode again."""
    return decode_image(encode_jpeg(image, quality))


def encode_jpeg(image: NDArray, quality: int) -> NDArray:
    """Return the (n,) uint8 bytes of a JPEG file."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"OpenCV could not compress an image of shape {image.shape} and type {image.dtype}")
    return data.reshape(-1)


def decode_image(data: NDArray, flags: int = cv2.IMREAD_UNCHANGED) -> NDArray:
    """Decode the (n,) uint8 bytes of an image file; raise ValueError if they are none."""
    image = cv2.imdecode(data, flags)
    if image is None:
        raise ValueError(f"{len(data)} bytes are not an image file")
    return image
