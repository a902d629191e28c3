"""What runs on a GPU, on a device that computes as the CPU does and refuses to mix with it."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from other_device import NAME, other_device
from rooms import room_config
from torch.utils import backend_registration
from worlds import INSTALLED_MATCHERS, textured_image

from deviloc_ros.config import MatcherConfig
from deviloc_ros.evaluation.maps.self_localization import localize_view
from deviloc_ros.localizer import Localizer
from deviloc_ros.matching import create_matcher
from deviloc_ros.types import Localized, Prior

pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this PyTorch takes no device that is written in Python",
)


@pytest.fixture
def device(monkeypatch):
    from kornia.feature.lightglue import LightGlue

    thresholds = LightGlue.pruning_keypoint_thresholds  # by the type of the device
    monkeypatch.setitem(thresholds, NAME, thresholds["cpu"])
    with other_device() as device:
        yield device


def test_the_device_refuses_to_mix(device):
    there, here = torch.arange(3, device=device), torch.arange(3)
    for mixing in (lambda: there + here, lambda: torch.cat([there, here]), lambda: here[there], there.numpy):
        with pytest.raises((RuntimeError, TypeError)):
            mixing()
    assert there.device.type == NAME and (there + 1).cpu().tolist() == [1, 2, 3]
    assert torch.add(there, there, out=torch.empty_like(there)).cpu().tolist() == [0, 2, 4]


@pytest.mark.parametrize("name", INSTALLED_MATCHERS)
def test_a_matcher_stays_on_its_device_wherever_features_lie(name, device):
    config = MatcherConfig(name=name, max_keypoints=512, weights="random", engine="torch")
    there, here = (create_matcher(replace(config, device=where)) for where in (str(device), "cpu"))
    used = np.ones((240, 320), bool)
    used[:40] = False
    image = textured_image(np.random.default_rng(0), 328, 240)
    query = there.extract(image[:, 4:324].copy(), keep_dense=True, used=used)
    reference = there.extract(image[:, :320].copy())
    assert {query.keypoints.device.type, query.descriptors.device.type} == {NAME}
    (expected,) = here.match(query, [reference])
    assert len(expected) > 50
    for features in (reference, reference.to("cpu")):
        useful = np.ones(len(features), bool)
        for found in (*there.match(query, [features]), *there.match(query.to("cpu"), [features], [useful])):
            np.testing.assert_allclose(found.query_keypoints, expected.query_keypoints, atol=1e-4)
            np.testing.assert_array_equal(found.reference_indices, expected.reference_indices)


def test_a_localizer_gives_the_pose_that_it_gives_on_the_cpu(room, room_map, device):
    """Its map lies on the CPU, and so do the features of a view that is localized from the others."""
    config = room_config().matcher
    for ask in (
        *(partial(Localizer.localize, image=image, camera=room.camera) for image in room.queries[:2]),
        partial(Localizer.localize, image=room.queries[0], camera=room.camera, prior=Prior(room.query_poses[0])),
        partial(Localizer.localize, image=room.queries[1][:, ::-1].copy(), camera=room.camera),
    ):
        there, here = (
            ask(Localizer(room_map, matcher=create_matcher(replace(config, engine="torch", device=where))))
            for where in (str(device), "cpu")
        )
        assert type(there) is type(here)
        if isinstance(here, Localized):
            np.testing.assert_allclose(there.cam_from_world.matrix(), here.cam_from_world.matrix(), atol=1e-9)
    localizer = Localizer(room_map, matcher=create_matcher(replace(config, engine="torch", device=str(device))))
    assert localize_view(localizer, 3).outcome.translation_m < 0.05
