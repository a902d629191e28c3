"""Draw surfaces for one scene from a seeded palette: few textures, many looks."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.random import Generator

from deviloc_ros.synthetic import textures
from deviloc_ros.synthetic.scene import Surface, Texture


class Palette:
    """Draw surfaces from a handful of textures per use, as one building uses few materials."""

    def __init__(
        self,
        rng: Generator,
        walls: Sequence[textures.Maker] = textures.WALLS,
        per_use: int = 3,
        photographs: bool = True,
    ) -> None:
        """Draw the textures. photographs: also such as look otherwise after `textures.use_photographs`."""
        self.rng = rng
        self.textures: dict[str, list[Texture]] = {}
        makers = {"wall": walls, "floor": textures.FLOORS, "object": textures.OBJECTS, "print": textures.PRINTS}
        for use, family in makers.items():
            family = family if photographs else [maker for maker in family if maker not in textures.WITH_PHOTOGRAPHS]
            for _ in range(per_use + (use in ("object", "print"))):
                self.add_texture(use, family[int(rng.integers(len(family)))])

    def add_texture(self, use: str, maker: textures.Maker) -> None:
        """Add one more texture for `use`."""
        self.textures.setdefault(use, []).append(Texture(maker(self.rng)))

    def draw_surface(self, use: str, meters: tuple[float, float] = (0.5, 2.5), glossy: float = 0.15) -> Surface:
        """Draw a surface whose texture covers between `meters`; a share `glossy` of them reflects the lamp."""
        rng = self.rng
        choices = self.textures[use]
        tint = rng.uniform(0.65, 1.1) * rng.uniform(0.9, 1.1, 3)
        gloss = float(rng.uniform(0.2, 0.9)) if rng.random() < glossy else 0.0
        scale = float(rng.uniform(*meters))
        return Surface(choices[rng.integers(len(choices))], scale, tuple(tint.tolist()), gloss)
