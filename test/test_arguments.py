"""What is of another kind than an entry wants is named there, and not by the inside."""

import json
from collections.abc import KeysView

import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import rigids

from deviloc_ros import Camera, Config, Localizer, Lost, Map, Mask, PosedImage, Prior, build_map
from deviloc_ros.config import PoseConfig
from deviloc_ros.config_fields import change_config
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.tracking.rig_images import StampedImage
from deviloc_ros.types import Area, RigImage

CAMERA = Camera("PINHOLE", 320, 240, (262.0, 262.0, 159.5, 119.5))
IMAGE, MATRIX = np.zeros((240, 320), np.uint8), np.eye(4)
TAKES_RIGID = {
    "PosedImage.cam_from_world": lambda rigid: PosedImage("a", "a.png", CAMERA, rigid).cam_from_world,
    "Prior.cam_from_world": lambda rigid: Prior(rigid).cam_from_world,
    "Prior.others": lambda rigid: Prior(pycolmap.Rigid3d(), others=(rigid,)).others[0],
    "RigImage.rig_from_cam": lambda rigid: RigImage("a", IMAGE, CAMERA, rigid).rig_from_cam,
    "StampedImage.base_from_cam": lambda rigid: StampedImage(0, IMAGE, CAMERA, rigid).base_from_cam,
    "Odometry.odom_from_base": lambda rigid: Odometry(rigid).odom_from_base,
    "Fix.map_from_base": lambda rigid: Fix(0, rigid, np.eye(6)).map_from_base,
}
NO_AMOUNTS = st.one_of(st.floats(max_value=-1e-300), st.just(np.nan))


def stretch(rigid: pycolmap.Rigid3d, factor: float) -> pycolmap.Rigid3d:
    """The quaternion of another length: pycolmap takes it, and the product of two is wrong then."""
    return pycolmap.Rigid3d(pycolmap.Rotation3d(factor * rigid.rotation.quat), rigid.translation)


@pytest.fixture(scope="module")
def localizer(room_map):
    return Localizer(room_map)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Camera("PINHOLE", 640, 480, 525.0),
            r"Camera\.params must be tuple or list or ndarray, got 525\.0; as",
        ),
        (lambda: Camera("PINHOLE", "640", 480, (1.0,) * 4), r"Camera\.width must be int or integer, got '640'"),
        (lambda: PosedImage("a", "a.png", CAMERA, MATRIX), r"PosedImage\.cam_from_world must be Rigid3d, got ndarray"),
        (lambda: PosedImage("a", "a.png", "PINHOLE", pycolmap.Rigid3d()), r"PosedImage\.camera must be Camera"),
        (lambda: Prior(MATRIX), r"Prior\.cam_from_world must .* rigid_from_matrix makes one"),
        (lambda: RigImage("a", IMAGE, CAMERA, MATRIX), r"RigImage\.rig_from_cam"),
        (lambda: StampedImage(0, IMAGE, CAMERA, MATRIX), r"StampedImage\.base_from_cam"),
        (lambda: Odometry(MATRIX), r"Odometry\.odom_from_base"),
        (lambda: Fix(0, MATRIX, np.eye(6)), r"Fix\.map_from_base"),
        (lambda: Config(pose={"min_inliers": 40}), r"Config\.pose must be PoseConfig, got .*; change_config"),
        (lambda: Localizer(5), "reference_map must be Map or Path or str, got 5"),
        (lambda: build_map("photos", "a.map"), "source must be Source or list or tuple, got 'photos'"),
        (lambda: build_map(["photo.jpg"], "a.map"), r"source: an image must be PosedImage, got 'photo\.jpg'"),
        (lambda: build_map([], "a.map", {}), "config must be Config or None"),
    ],
)
def test_what_is_made_of_the_wrong_kind_is_named(make, said):
    with pytest.raises(TypeError, match=said):
        make()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("q.jpg", CAMERA), "image must be ndarray, got 'q.jpg'; read_gray"),
        ((IMAGE, "PINHOLE"), "camera must be Camera"),
        ((IMAGE, CAMERA, [0, 0, 0]), r"prior must be Prior or Area or None, got \[0, 0, 0\]"),
        ((IMAGE, CAMERA, None, "a.jpg"), "candidates must be names of views, got one str"),
        ((IMAGE, CAMERA, None, None, "mask.png"), r"mask must be Mask or None, got 'mask\.png'"),
    ],
)
def test_what_an_image_is_localized_with_is_named(localizer, asked, said):
    with pytest.raises(TypeError, match=said):
        localizer.localize(*asked)
    with pytest.raises(TypeError, match="images: an image must be RigImage"):
        localizer.localize_rig([IMAGE])


@pytest.mark.parametrize("name", TAKES_RIGID)
@given(rigid=rigids, factor=st.floats(0.985, 1.015))
def test_quaternions_come_to_be_of_unit_length(name, rigid, factor):
    taken = TAKES_RIGID[name](stretch(rigid, factor))
    np.testing.assert_allclose(taken.matrix(), rigid.matrix(), atol=1e-9)
    assert abs(np.linalg.norm(taken.rotation.quat) - 1) < 1e-12


@pytest.mark.parametrize("name", TAKES_RIGID)
@given(
    rigid=rigids,
    factor=st.one_of(st.floats(-0.9, 0.9), st.floats(min_value=1.1), st.just(np.nan)),
    offset=st.just(0.0) | st.sampled_from([np.nan, np.inf, -np.inf]),
)
def test_what_is_no_pose_is_refused_by_name(name, rigid, factor, offset):
    with pytest.raises(ValueError, match=f"{name}.* is not a pose"):
        TAKES_RIGID[name](stretch(rigid, factor))
    if offset != 0:
        with pytest.raises(ValueError, match=f"{name}.* is not a pose"):
            TAKES_RIGID[name](pycolmap.Rigid3d(rigid.rotation, rigid.translation + offset))


@given(NO_AMOUNTS)
def test_what_is_no_amount_is_refused_by_name(amount):
    here = pycolmap.Rigid3d()
    for field in ("radius_m", "angle_deg", "rivals_m"):
        with pytest.raises(ValueError, match=rf"Prior\.{field} must be a number of 0 or more"):
            Prior(here, **{field: amount})
    for field in ("std_m", "std_rad"):
        for bad in (amount, np.inf):
            with pytest.raises(ValueError, match=rf"RigImage\.{field} must be a finite number of 0 or more"):
                RigImage("a", IMAGE, CAMERA, here, **{field: bad})
    with pytest.raises(ValueError, match=r"Area\.radius_m must be"):
        Area(np.zeros(3), np.array([0.0, 0.0, 1.0]), amount)


@pytest.mark.parametrize(
    ("point", "up", "said"),
    [
        ((0, 0), (0, 0, 1), r"Area\.point must be 3 finite numbers"),
        ((0, 0, np.nan), (0, 0, 1), r"Area\.point must be 3 finite numbers"),
        ((0, 0, 0), (0, 0, 0), r"Area\.up must be of unit length"),
        ((0, 0, 0), (0, 0, 7), r"Area\.up must be of unit length"),
    ],
)
def test_an_area_says_what_is_wrong_with_it(point, up, said):
    with pytest.raises(ValueError, match=said):
        Area(point, up, 1.0)


@pytest.mark.parametrize(
    "hidden",
    [np.full((4, 4), value) for value in (2, 256, 0.5, np.nan)]
    + [np.zeros(shape, bool) for shape in ((0, 0), (4,), (4, 4, 3))],
    ids=lambda hidden: f"{hidden.dtype} {hidden.shape}",
)
def test_a_mask_takes_truth_values_only(hidden):
    """Of numbers, the even ones would have hidden nothing."""
    with pytest.raises(ValueError, match=r"Mask\.hidden must be a bool array over the image, \(H, W\), got"):
        Mask(hidden=hidden)


def test_a_rig_of_no_images_is_refused(localizer):
    with pytest.raises(ValueError, match="images: there is none"):
        localizer.localize_rig([])
    with pytest.raises(TypeError, match="images must be list or tuple"):
        localizer.localize_rig(iter([]))


def test_what_is_meant_is_taken(room_folder):
    assert Localizer(str(room_folder)).map.identity == Map.open(room_folder).identity
    assert Camera("PINHOLE", 320, 240, [262, 262, 159.5, 119.5]) == CAMERA
    assert Camera("PINHOLE", 320, 240, np.array(CAMERA.params)) == CAMERA
    assert PosedImage("a", "a/b.png", CAMERA, pycolmap.Rigid3d()).path.name == "b.png"


def test_parameters_are_changed_by_name():
    assert change_config(Config(), pose={"min_inliers": 40}) == Config(pose=PoseConfig(min_inliers=40))
    with pytest.raises(ValueError, match=r"unknown parameter pose\.min_inlier; did you mean 'pose\.min_inliers'"):
        change_config(Config(), pose={"min_inlier": 3})
    with pytest.raises(ValueError, match="unknown parameter poses"):
        change_config(Config(), poses={})
    with pytest.raises(AttributeError, match="cannot assign to field 'min_inlier'"):
        Config().pose.min_inlier = 3


@pytest.mark.parametrize(
    "candidates", [["IMG_nothere.jpg", "b.jpg"], [], {"IMG_nothere.jpg": 1, "b.jpg": 2}.keys(), iter(())]
)
def test_candidates_that_the_map_does_not_have_are_named(localizer, room, candidates):
    result = localizer.localize(room.queries[0], room.camera, candidates=candidates)
    assert isinstance(result, Lost) and result.reason is Status.NO_REFERENCES
    assert str(result) == "no reference view to match with: the candidates name none of the map's: " + (
        "'IMG_nothere.jpg', 'b.jpg'" if isinstance(candidates, (list, KeysView)) and candidates else "no view at all"
    )


def test_no_view_near_a_prior_is_said_to_be_that(localizer, room):
    far = Prior(pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([900.0, 0, 0])), radius_m=5)
    result = localizer.localize(room.queries[0], room.camera, far)
    assert str(result) == "no reference view to match with: none is near the prior"


def test_numbers_of_numpy_make_a_camera_that_can_be_written():
    camera = Camera("PINHOLE", np.int64(320), np.uint16(240), (np.float32(262), 262, np.int64(159), 119.5))
    assert json.dumps([camera.width, camera.height, camera.params]) == "[320, 240, [262.0, 262.0, 159.0, 119.5]]"
    for params in (("262", 262, 159, 119), ["262", 262, 159, 119], np.array(["a"] * 4)):
        with pytest.raises(TypeError, match=r"Camera\.params: one must be"):
            Camera("PINHOLE", 320, 240, params)


def test_a_follower_takes_localizers_and_no_path():
    with pytest.raises(TypeError, match="opens a map"):
        Follower("kitchen.map")
