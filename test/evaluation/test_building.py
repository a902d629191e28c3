"""A building of equal doors: every view is in its place, and what is counted after the robot was carried off counts."""

import numpy as np
import pycolmap
import pytest

from deviloc_ros.evaluation.twins.building import KIDNAPPINGS, list_legs, measure_recovery
from deviloc_ros.evaluation.twins.run import Leg, list_moments
from deviloc_ros.evaluation.twins.scenes import RENDERED_RATE_HZ, SEED, TwinFrame
from deviloc_ros.geometry import isotropic_covariance
from deviloc_ros.status import Status
from deviloc_ros.synthetic.building import STOREY_M, BuildingPlan, make_building
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.step import Step

SMALL = BuildingPlan(modules=10, offices=2, step_m=2.0, office_views=4)


@pytest.fixture(scope="module")
def building():
    return make_building(SEED, SMALL)


def test_views_lie_inside_their_storeys_and_offices_apart(building):
    views = list(building.list_views())
    assert len(views) == 2 * 2 * 14 + 4 * 4
    centres = np.array([pose.tgt_origin_in_src() for _, pose in views])
    assert set(np.round(centres[:, 2] - centres[0, 2], 6)) == {0.0, STOREY_M}
    assert (centres[:, 0] > 0).all() and (centres[:, 0] < 30).all()
    ends = [(office.origin_m[0], office.origin_m[0] + office.scene.free_high[0]) for office in building.offices[:2]]
    assert ends[0][1] < ends[1][0]


def test_offices_have_posters_of_their_own(building):
    one, other = (office.scene.quads[-2:] for office in building.offices[:2])
    for mine, theirs in zip(one, other, strict=True):
        assert np.allclose(mine.origin, theirs.origin)
        assert not np.array_equal(mine.surface.texture.atlas, theirs.surface.texture.atlas)


def test_the_robot_drives_and_is_carried_off_ten_times(building):
    legs = list(list_legs(building))
    assert [leg.is_carried for leg in legs] == [False] + [True] * KIDNAPPINGS
    mapped = {tuple(np.round(pose.tgt_origin_in_src(), 4)) for _, pose in building.list_views()}
    seen = [frame.cam_from_world.tgt_origin_in_src() for leg in legs for frame in leg.frames if frame]
    assert not mapped & {tuple(np.round(centre, 4)) for centre in seen}
    odometry = [m.odometry.odom_from_base for m in list_moments(legs, RENDERED_RATE_HZ, odometry=True)]
    carried = [n for n, leg in enumerate(legs) if leg.is_carried]
    start = len(legs[0].frames)
    assert carried and np.allclose(odometry[start - 1].matrix(), odometry[start].matrix())  # nothing is felt


def test_recovery_is_measured_from_the_first_image_in_the_new_place():
    frame = TwinFrame(pycolmap.Rigid3d(), lambda: np.zeros((2, 2), np.uint8))
    legs = [Leg([frame]), Leg([None, frame, frame], is_carried=True), Leg([None, frame], is_carried=True)]
    moments = list(list_moments(legs, 5.0, odometry=False))
    right = Fix(0, pycolmap.Rigid3d(), isotropic_covariance(0.1, 0.1))
    wrong = Fix(0, pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([9.0, 0, 0])), isotropic_covariance(0.1, 0.1))
    fixes = [right, None, wrong, right, None, wrong]
    steps = [
        Step(moment.stamp_ns, Status.ACCEPTED if fix else Status.UNCONFIRMED, fix=fix)
        for moment, fix in zip(moments, fixes, strict=True)
    ]
    assert measure_recovery(legs, moments, steps) == [pytest.approx(0.2), None]
