"""A table top, a court and a valley that look the same are decided alike."""

from dataclasses import replace

import numpy as np
import pycolmap
import pytest
from rooms import room_config

from deviloc_ros.camera import Camera
from deviloc_ros.config_fields import change_config
from deviloc_ros.evaluation.protocols import court
from deviloc_ros.evaluation.protocols.run import Evaluation
from deviloc_ros.evaluation.protocols.scenes import EvaluationProtocol, Fold
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.synthetic.court import walk_around

CAMERA = Camera("PINHOLE", 320, 240, (280.0, 280.0, 159.5, 119.5))
OF_ANY_SIZE = change_config(room_config(), pose={"required_position_std_m": 0.0})


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> list[PosedImage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEVILOC_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(court, "walk_around", lambda rng, count: walk_around(rng, count)[:6])
        return court.render_court(CAMERA, count=24)


@pytest.fixture(scope="module")
def as_it_is(photographs) -> dict:
    return localize_between(photographs, 1.0)


def scale_scene(image: PosedImage, scale: float) -> PosedImage:
    pose = image.cam_from_world
    return replace(image, cam_from_world=pycolmap.Rigid3d(pose.rotation, scale * pose.translation))


def localize_between(images: list[PosedImage], scale: float) -> dict:
    scaled = [scale_scene(image, scale) for image in images]
    protocol = EvaluationProtocol("court", [Fold(scaled[::2], scaled[1::2])])
    return Evaluation(protocol, OF_ANY_SIZE).run(OF_ANY_SIZE, "true-pose")


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_a_court_of_another_size_is_localized_alike(photographs, as_it_is, scale):
    here, there = as_it_is, localize_between(photographs, scale)
    assert here["localized"] == there["localized"] > 0
    errors_m, scaled_m = np.array(here["translations_m"]), np.array(there["translations_m"])
    np.testing.assert_array_equal(np.isfinite(errors_m), np.isfinite(scaled_m))
    np.testing.assert_allclose(np.median(scaled_m), scale * np.median(errors_m), rtol=0.3)
