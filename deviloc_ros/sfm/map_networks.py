"""Load the networks that make views: the matcher, the lifting method, and maybe a global descriptor."""

from __future__ import annotations

from functools import cached_property, lru_cache

from deviloc_ros.config import MATCHERS, Config
from deviloc_ros.config_fields import change_config
from deviloc_ros.lifting import create_point_inference
from deviloc_ros.lifting.base import PointInference
from deviloc_ros.maps.retrieval.global_descriptors import LearnedDescriptor, load_learned_descriptor
from deviloc_ros.matching import create_matcher
from deviloc_ros.matching.base import Matcher
from deviloc_ros.matching.checks import check_attributes


class Networks:
    """Load each network when it is first needed; another process gets the config and loads them itself, once.

    Args:
        matcher, inference: used instead of the config's; they stay in this process.

    Raises:
        MatcherError: the matcher that is given lacks an attribute.
    """

    def __init__(self, config: Config, matcher: Matcher | None = None, inference: PointInference | None = None) -> None:
        if matcher is not None:
            check_attributes(matcher)
            if matcher.name in MATCHERS:  # one of the package's: the map then names it
                config = change_config(config, matcher={"name": matcher.name})
        self.config = config
        self._matcher, self._inference = matcher, inference

    def __reduce__(self) -> tuple:
        if self._matcher is not None or self._inference is not None:
            raise TypeError("a matcher or a lifting method that was given, not configured, cannot go to other workers")
        return shared_networks, (self.config,)

    def load_all(self) -> Networks:
        """Load all networks now, so that a missing one is noticed before minutes of work.

        Raises:
            ValueError: one cannot be loaded; the message names it.
        """
        _ = self.matcher, self.inference, self.global_descriptor
        return self

    @cached_property
    def matcher(self) -> Matcher:
        """Return the matcher, the one that was given or the config's."""
        return self._matcher or create_matcher(self.config.matcher)

    @cached_property
    def inference(self) -> PointInference:
        """Return the lifting method, the one that was given or the config's."""
        return self._inference or create_point_inference(self.config.lift)

    @cached_property
    def global_descriptor(self) -> LearnedDescriptor | None:
        """Return the network for global descriptors, None for VLAD. Raises DescriptorError if it is unusable."""
        return load_learned_descriptor(self.config.retrieval)


@lru_cache(maxsize=1)
def shared_networks(config: Config) -> Networks:
    """Return a config's networks, cached so that they stay loaded for the next task."""
    return Networks(config)
