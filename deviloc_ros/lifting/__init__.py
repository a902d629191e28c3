"""Create lifting methods by their names."""

from __future__ import annotations

from pathlib import Path

from deviloc_ros.config import LiftConfig
from deviloc_ros.lifting.base import OnlinePointInference, PointInference
from deviloc_ros.lifting.interpolation import Interpolation, LandmarksOnly


def create_point_inference(config: LiftConfig) -> PointInference:
    """Create the lifting method that `config.method` names.

    Raises:
        ValueError: it does not support `config.precision`.
    """
    if config.precision != "float32" and config.method != "upstream":
        raise ValueError(f"lift.precision {config.precision}: {config.method} computes in float32 only")
    if config.method == "pin":
        from deviloc_ros.lifting.pin import WEIGHTS, LearnedPointInference, load_pin

        return LearnedPointInference(load_pin(Path(config.weights) if config.weights else WEIGHTS), config)
    if config.method == "upstream":
        from deviloc_ros.upstream.lifting import UpstreamPointInference

        return UpstreamPointInference(config)
    return {"landmarks-only": LandmarksOnly, "interpolate": Interpolation}[config.method](config)


def create_online_inference(of_map: LiftConfig, config: LiftConfig) -> OnlinePointInference | None:
    """Create the method that lifts moved keypoints while localizing; None if points are only looked up in the map.

    Raises:
        ValueError: the map was built with another method.
    """
    if config.method != "upstream":
        return None
    if of_map.method != "upstream":
        raise ValueError(f"the map was built with lift method {of_map.method!r}, not 'upstream'; build it again")
    from deviloc_ros.upstream.lifting import UpstreamPointInference

    return UpstreamPointInference(config)
