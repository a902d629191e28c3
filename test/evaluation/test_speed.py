"""The bench of one query: runs without data or trained weights."""

from deviloc_ros.config import Config
from deviloc_ros.config_fields import from_dict
from deviloc_ros.evaluation.speed import measure_speed
from deviloc_ros.upstream.presets import apply_preset


def test_a_query_is_timed_with_and_without_what_the_map_stores():
    random = {"weights": "random"}
    config = apply_preset(Config(), "deviloc-paper")
    config = from_dict(
        config, {"matcher": {"max_image_side_px": 96, **random}, "lift": random, "retrieval": {"references": 2}}
    )
    speed = measure_speed(config, runs=1)
    assert speed.references == 2 and 0 < speed.cached_s < speed.uncached_s
    assert {"extract", "match", "lift"} <= set(speed.stages_ms) and speed.peak_bytes > 1 << 20
    assert "2 references" in str(speed) and "cached references" in str(speed)
