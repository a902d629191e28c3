"""Create matchers by their names."""

from __future__ import annotations

from deviloc_ros.config import MatcherConfig
from deviloc_ros.matching.base import Matcher


def create_matcher(config: MatcherConfig) -> Matcher:
    """Create the matcher that `config.name` names; its module is imported on demand.

    Raises:
        ValueError: it does not support `config.precision`.
    """
    if config.precision != "float32" and config.name != "topicfm":
        raise ValueError(f"matcher.precision {config.precision}: {config.name} computes in float32 only")
    if config.name == "xfeat-lighterglue":
        from deviloc_ros.matching.lighterglue import XFeatLighterGlue

        return XFeatLighterGlue(config)
    if config.name == "disk-lightglue":
        from deviloc_ros.matching.disk_lightglue import DiskLightGlue

        return DiskLightGlue(config)
    if config.name == "topicfm":
        from deviloc_ros.upstream.topicfm import TopicFMMatcher

        return TopicFMMatcher(config)
    from deviloc_ros.matching.xfeat import XFeatSemiDense

    return XFeatSemiDense(config)


__all__ = ["Matcher", "create_matcher"]
