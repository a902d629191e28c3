"""Draw procedural textures: square BGR uint8 images, seeded, most of them seamless when repeated."""

from __future__ import annotations

import importlib.util
import string
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

SIDE_PX = 512

# Photographs that scikit-image ships under CC0 or in the public domain: `use_photographs`.
PHOTO_FILES = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "rocket.jpg",
)
photos: list[NDArray] = []


def noise_field(rng: Generator, slope: float, side: int = SIDE_PX) -> NDArray:
    """Return (side, side) float32 seamless noise in [0, 1] with amplitude 1 / frequency**slope."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((side, side))) * frequency**-slope
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, (side, side))
    low, high = np.percentile(field, [1, 99])
    return np.clip((field - low) / (high - low), 0, 1).astype(np.float32)


def random_color(rng: Generator, saturation: float = 0.5) -> NDArray:
    """Return a (3,) BGR colour in [0, 255], gray when `saturation` is 0."""
    gray = rng.uniform(30, 235)
    return np.clip(gray + saturation * rng.uniform(-120, 120, 3), 5, 250).astype(np.float32)


def blend(weight: NDArray, first: NDArray, second: NDArray) -> NDArray:
    """Mix two colours by (S, S) weights in [0, 1] into (S, S, 3) uint8."""
    return np.clip(first + weight[..., None] * (second - first), 0, 255).astype(np.uint8)


def roughen(image: NDArray, rng: Generator, amount: float) -> NDArray:
    """Multiply with noise: no real material is of one colour."""
    gain = 1 + amount * (noise_field(rng, rng.uniform(0.5, 1.3)) - 0.5) + amount * (noise_field(rng, 1.6) - 0.5)
    return np.clip(image * gain[..., None], 0, 255).astype(np.uint8)


def draw_noise(rng: Generator) -> NDArray:
    """Draw marble to carpet: two colours mixed by noise."""
    weight = noise_field(rng, rng.uniform(0.4, 1.8))
    if rng.random() < 0.4:
        weight = np.clip((weight - 0.5) * rng.uniform(2, 8) + 0.5, 0, 1)
    return blend(weight, random_color(rng), random_color(rng))


def draw_paint(rng: Generator) -> NDArray:
    """Draw a painted wall: hardly any texture."""
    color = random_color(rng, 0.3)
    return roughen(np.broadcast_to(color, (SIDE_PX, SIDE_PX, 3)), rng, rng.uniform(0.0, 0.08))


def draw_cells(rng: Generator, rows: int, columns: int, shift: float, gap_px: int) -> NDArray:
    """Draw rectangles of slightly different colours in a grid with joints; bricks, tiles and planks are all cells."""
    color, joint, variation = random_color(rng), random_color(rng, 0.1), rng.uniform(5, 45)
    image = np.empty((SIDE_PX, SIDE_PX, 3), np.float32)
    image[:] = joint
    height, width = SIDE_PX // rows, SIDE_PX // columns
    for row in range(rows):
        strip = np.empty((height, SIDE_PX, 3), np.float32)
        strip[:] = joint
        for column in range(columns):
            shade = color + rng.normal(0, variation) + rng.normal(0, variation / 4, 3)
            strip[gap_px:, column * width + gap_px : (column + 1) * width] = shade
        image[row * height : (row + 1) * height] = np.roll(strip, int(shift * width * (row % 2)), 1)
    return roughen(np.clip(image, 0, 255), rng, rng.uniform(0.1, 0.6))


def draw_bricks(rng: Generator) -> NDArray:
    """Draw a wall of bricks, each row shifted by half a brick."""
    return draw_cells(rng, 16, 8, 0.5, int(rng.integers(2, 6)))


def draw_tiles(rng: Generator) -> NDArray:
    """Draw square tiles."""
    count = int(rng.choice([2, 4, 8]))
    return draw_cells(rng, count, count, 0.0, int(rng.integers(1, 6)))


def draw_planks(rng: Generator) -> NDArray:
    """Draw boards with grain along them."""
    image = draw_cells(rng, int(rng.choice([4, 8])), int(rng.choice([1, 2])), 0.37, int(rng.integers(1, 4))).astype(
        np.float32
    )
    grain = cv2.resize(noise_field(rng, 0.8)[:, ::8], (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return np.clip(image * (0.7 + 0.5 * grain[..., None]), 0, 255).astype(np.uint8)


def draw_stripes(rng: Generator) -> NDArray:
    """Draw stripes or plaid of uneven widths."""
    image = np.empty((SIDE_PX, SIDE_PX, 3), np.float32)
    image[:] = random_color(rng)
    plaid = rng.random() < 0.5
    for _ in range(rng.integers(3, 14)):
        start, width, color = rng.integers(0, SIDE_PX), rng.integers(4, 80), random_color(rng, 0.8)
        image[:, start : start + width] = color
        if plaid:
            image[start : start + width] = 0.5 * image[start : start + width] + 0.5 * color
    return roughen(image, rng, 0.2)


def draw_shapes(rng: Generator) -> NDArray:
    """Draw dead leaves: overlapping shapes of all sizes, the statistics of photographs."""
    image = np.empty((SIDE_PX, SIDE_PX, 3), np.uint8)
    image[:] = random_color(rng)
    palette = [random_color(rng, rng.uniform(0.1, 1.0)) for _ in range(8)]
    radii = np.sort(4.0 * rng.uniform(0.02, 1, int(rng.integers(150, 600))) ** -1.2)[::-1]
    for radius in np.minimum(radii, 160):
        centre = rng.integers(0, SIDE_PX, 2)
        color = np.clip(palette[rng.integers(8)] + rng.normal(0, 15), 0, 255).tolist()
        draw_shape(image, rng, centre, float(radius), color)
    return roughen(image, rng, rng.uniform(0.05, 0.4))


def draw_shape(image: NDArray, rng: Generator, centre: NDArray, radius: float, color: list[float]) -> None:
    """Draw one ellipse or polygon."""
    if rng.random() < 0.5:
        axes = (int(radius) + 1, int(radius * rng.uniform(0.3, 1)) + 1)
        cv2.ellipse(image, centre.tolist(), axes, rng.uniform(0, 180), 0, 360, color, -1, cv2.LINE_AA)
        return
    angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 7))))
    polygon = centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
    cv2.fillPoly(image, [polygon.round().astype(np.int32)], color, cv2.LINE_AA)


def draw_text(rng: Generator) -> NDArray:
    """Draw lines of text in several sizes: a notice, a label, a page."""
    paper, ink = random_color(rng, 0.2), random_color(rng, 0.6)
    if np.abs(paper - ink).max() < 80:
        ink = (paper + 128) % 255
    image = np.empty((SIDE_PX, SIDE_PX, 3), np.uint8)
    image[:] = paper
    y = 0
    while y < SIDE_PX:
        scale = float(rng.choice([0.5, 0.8, 1.3, 2.5]))
        y += int(30 * scale)
        text = "".join(rng.choice(list(string.ascii_letters + string.digits + "    .,-"), 60))
        font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX]))
        cv2.putText(image, text, (int(rng.integers(0, 60)), y), font, scale, ink.tolist(), int(1 + scale), cv2.LINE_AA)
        y += int(rng.integers(2, 30))
    return roughen(image, rng, 0.1)


def draw_windows(rng: Generator) -> NDArray:
    """Draw a far building: rows of dark panes in a wall."""
    image = draw_noise(rng).astype(np.float32) * 0.3 + random_color(rng, 0.3) * 0.7
    rows, columns = int(rng.integers(2, 6)), int(rng.integers(2, 6))
    height, width = SIDE_PX // rows, SIDE_PX // columns
    for row in range(rows):
        for column in range(columns):
            x, y = column * width + width // 5, row * height + height // 5
            pane = np.clip(random_color(rng, 0.1) * 0.5, 0, 255).tolist()
            cv2.rectangle(image, (x, y), (x + width * 3 // 5, y + height * 3 // 5), pane, -1)
            cv2.rectangle(image, (x, y), (x + width * 3 // 5, y + height * 3 // 5), random_color(rng, 0.1).tolist(), 5)
            cv2.line(image, (x + width * 3 // 10, y), (x + width * 3 // 10, y + height * 3 // 5), (200, 200, 200), 4)
    return roughen(np.clip(image, 0, 255), rng, 0.2)


def draw_poster(rng: Generator) -> NDArray:
    """Draw a print: shapes or a photograph with a line of text over it."""
    image = crop_photograph(rng) if rng.random() < 0.5 else draw_shapes(rng)
    for _ in range(rng.integers(0, 4)):
        text = "".join(rng.choice(list(string.ascii_uppercase), int(rng.integers(3, 12))))
        where = (int(rng.integers(0, 200)), int(rng.integers(40, SIDE_PX)))
        cv2.putText(image, text, where, cv2.FONT_HERSHEY_TRIPLEX, 2.0, random_color(rng, 1.0).tolist(), 3, cv2.LINE_AA)
    return image


def crop_photograph(rng: Generator) -> NDArray:
    """Cut a random crop of a photograph, mirrored and recoloured; draw shapes unless they are in use."""
    if not photos:
        return draw_shapes(rng)
    photo = photos[rng.integers(len(photos))]
    side = int(min(photo.shape[:2]) * rng.uniform(0.4, 1.0))
    y, x = (int(rng.integers(0, extent - side + 1)) for extent in photo.shape[:2])
    crop = cv2.resize(photo[y : y + side, x : x + side], (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    gains = rng.uniform(0.6, 1.3, 3) if rng.random() < 0.5 else np.ones(3)
    return np.clip(crop * gains, 0, 255).astype(np.uint8)


def use_photographs() -> None:
    """Let textures show the permissively licensed photographs of scikit-image, in this process from now on.

    Only when asked: a seed gives the same scene on every machine. Raise FileNotFoundError: it is not installed.
    """
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise FileNotFoundError("no photographs: `pip install scikit-image` brings them")
    folder = Path(found.origin).parent / "data"
    images = [cv2.imread(str(folder / name)) for name in PHOTO_FILES if (folder / name).exists()]
    photos[:] = [image for image in images if image is not None]


Maker = Callable[[Generator], NDArray]
WALLS: tuple[Maker, ...] = (draw_paint, draw_paint, draw_paint, draw_noise, draw_bricks, draw_tiles, draw_stripes)
FLOORS: tuple[Maker, ...] = (draw_planks, draw_tiles, draw_noise, draw_noise, crop_photograph)
OBJECTS: tuple[Maker, ...] = (
    draw_noise,
    draw_shapes,
    draw_stripes,
    draw_paint,
    draw_planks,
    draw_text,
    crop_photograph,
)
PRINTS: tuple[Maker, ...] = (draw_poster, draw_text, draw_shapes, crop_photograph)
FACADES: tuple[Maker, ...] = (draw_bricks, draw_bricks, draw_paint, draw_noise, draw_tiles, crop_photograph)
WITH_PHOTOGRAPHS: tuple[Maker, ...] = (draw_poster, crop_photograph)  # look otherwise with `use_photographs`
