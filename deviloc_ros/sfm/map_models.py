"""What makes views of images: the matcher, the method that lifts, and perhaps a network that describes whole images."""

from __future__ import annotations

from functools import cached_property, lru_cache

from deviloc_ros.config import Config
from deviloc_ros.lifting import create_point_inference
from deviloc_ros.lifting.base import PointInference
from deviloc_ros.maps.retrieval.global_descriptors import LearnedDescriptor, load_learned_descriptor
from deviloc_ros.matching import create_matcher
from deviloc_ros.matching.base import Matcher


class Networks:
    """Each is loaded when it is first needed. To another process the config goes, which loads them there, once.

    Args:
        matcher, inference: in place of what the config says; they stay in this process.
    """

    def __init__(self, config: Config, matcher: Matcher | None = None, inference: PointInference | None = None) -> None:
        self.config = config
        self._matcher, self._inference = matcher, inference

    def __reduce__(self) -> tuple:
        if self._matcher is not None or self._inference is not None:
            raise TypeError("a matcher or a lifting method that was given, not configured, cannot go to other workers")
        return networks_of, (self.config,)

    def load(self) -> Networks:
        """All of them now, so that one that cannot be had is missed before minutes of work. Raises ValueError."""
        _ = self.matcher, self.inference, self.learned
        return self

    @cached_property
    def matcher(self) -> Matcher:
        return self._matcher or create_matcher(self.config.matcher)

    @cached_property
    def inference(self) -> PointInference:
        return self._inference or create_point_inference(self.config.lift)

    @cached_property
    def learned(self) -> LearnedDescriptor | None:
        """None: VLAD describes images. Raises DescriptorError."""
        return load_learned_descriptor(self.config.retrieval)


@lru_cache(maxsize=1)
def networks_of(config: Config) -> Networks:
    """Those of a config, the same each time: what is loaded stays loaded for the next piece of work."""
    return Networks(config)
