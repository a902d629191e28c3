"""However a robot names its frames, keeps its clocks and repeats itself: its poses are right, or it is said why not."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pycolmap
import pytest
from bags_of_others import (
    BASE_FROM_CAM,
    BRIGHTNESSES,
    CAMERA,
    IMAGE,
    PERIOD_NS,
    START_NS,
    map_from_base,
    rewritten,
    stamp,
)
from ros.stand_in import StandInLocalizer
from worlds import random_rigid

from deviloc_ros.bags.bag_index import RobotSetup
from deviloc_ros.bags.bag_plan import ReadingPlan, TruthSource, index_bag
from deviloc_ros.bags.reader import Recording
from deviloc_ros.bags.rectified import says_rectified
from deviloc_ros.bags.topics import choose_transform_topic
from deviloc_ros.bags.writer import BagWriter
from deviloc_ros.camera import Camera
from deviloc_ros.config import TrackingConfig
from deviloc_ros.evaluation.recordings.bag_run import EvaluationPlan, read_truth, run_offline, summarize_run
from deviloc_ros.evaluation.recordings.headline import make_headline, make_remarks
from deviloc_ros.evaluation.recordings.lens import LensTrial, choose_clearly_better
from deviloc_ros.evaluation.recordings.run_folder import Run
from deviloc_ros.sources.keyframes import Spacing
from deviloc_ros.sources.recordings import read_bag
from deviloc_ros.types import IntrinsicsFit

ODOM = "/camera/odom/sample"
BODIES = {
    "a tracking camera": random_rigid(np.random.default_rng(1)),
    "a footprint below the base": pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0.0, 0.0, -0.3])),
    "an IMU upside down": random_rigid(np.random.default_rng(2)),
}
EVERY_IMAGE = Spacing(0.0, 0.0)


def robot(
    path,
    base_from_body: pycolmap.Rigid3d | None = None,
    *,
    prefix: str = "",
    mounted: bool = True,
    since_boot: bool = False,
    order: tuple[int, ...] = tuple(range(len(BRIGHTNESSES))),
    image_topic: str = IMAGE,
    parents: tuple[str, ...] = ("odom",),
    info: Camera = CAMERA,
):
    """A robot that moves 10 cm an image; its odometry and its truth are of `body`, where one is named.

    mounted: TF has the way from the body to the base. since_boot: the camera has a clock of its own. order: of the
    images, by number. parents: of the base frame in /tf, each a microsecond after the other.
    """
    base_from_body = base_from_body or pycolmap.Rigid3d()
    with BagWriter(path) as bag:
        bag.write_transform(START_NS, f"{prefix}base_link", f"{prefix}camera_optical", BASE_FROM_CAM, static=True)
        if mounted:
            bag.write_transform(START_NS, f"{prefix}base_link", "body", base_from_body, static=True)
        bag.write_camera_info("/camera/camera_info", START_NS, f"{prefix}camera_optical", info)
        for received, number in enumerate(order):
            pose = map_from_base(BRIGHTNESSES[number])
            bag.late_ns = (
                max(0, received - number) * PERIOD_NS
            )  # a player that starts again goes on in the recorder's time
            for late, parent in enumerate(parents):
                bag.write_transform(stamp(number) + 1000 * late, f"{prefix}{parent}", f"{prefix}base_link", pose)
            bag.write_odometry(ODOM, stamp(number), "map", "body", pose * base_from_body)
            pixels = np.full((48, 64, 3), BRIGHTNESSES[number], np.uint8)
            bag.write_image(
                image_topic, stamp(number) - (START_NS - 5 * 10**9) * since_boot, f"{prefix}camera_optical", pixels
            )
    return path


def run(path, truth: TruthSource | None = None, localizer=None, **plan) -> Run:
    plan = EvaluationPlan(truth=truth or TruthSource(), **plan)
    with Recording(path) as recording:
        indexed = index_bag(recording, plan)
        true = read_truth(indexed, plan)
        tracking = TrackingConfig(confirmations=1)
        estimates, about = run_offline(indexed, plan, localizer or StandInLocalizer(), tracking)
        return summarize_run(indexed, plan, true, estimates, about)


def said(found: Run) -> str:
    return "\n".join(f"{name}: {value}" for name, value in make_headline(found) + make_remarks(found))


@pytest.mark.parametrize("name", BODIES)
def test_poses_are_those_of_the_frame_that_their_messages_name(tmp_path, name):
    bag = robot(tmp_path / "bag", BODIES[name])
    found = run(bag, TruthSource(topic=ODOM), robot=RobotSetup(odometry_topic=ODOM))
    assert found.summary["wrong_fixes"] == 0 and found.summary["translation_m"]["max"] < 1e-9
    assert found.summary["rotation_deg"]["max"] < 1e-6
    assert found.summary["odometry"]["images"] == len(BRIGHTNESSES)
    source = read_bag(bag, ReadingPlan(truth=TruthSource(topic=ODOM)), EVERY_IMAGE, tmp_path / "frames", quiet=True)
    for image, brightness in zip(source.images, BRIGHTNESSES, strict=True):
        true = (map_from_base(brightness) * BASE_FROM_CAM).inverse()
        np.testing.assert_allclose(image.cam_from_world.matrix(), true.matrix(), atol=1e-9)


@pytest.mark.parametrize("use", ["truth", "odometry", "map"])
def test_a_frame_without_a_way_to_the_base_is_refused_by_both_names(tmp_path, use):
    bag = robot(tmp_path / "bag", BODIES["a tracking camera"], mounted=False)
    with pytest.raises(ValueError, match=r"of (frame )?'body', expected those of 'base_link': .*--"):
        if use == "truth":
            run(bag, TruthSource(topic=ODOM))
        elif use == "odometry":
            run(bag, robot=RobotSetup(odometry_topic=ODOM))
        else:
            read_bag(bag, ReadingPlan(truth=TruthSource(topic=ODOM)), EVERY_IMAGE, tmp_path / "frames", quiet=True)


def test_who_knows_better_whose_poses_these_are_can_say_so(tmp_path):
    bag = robot(tmp_path / "bag", mounted=False)
    found = run(bag, TruthSource(topic=ODOM, body="base_link"))
    assert found.summary["wrong_fixes"] == 0 and found.summary["translation_m"]["max"] < 1e-9


def test_namespaced_odometry_is_named(tmp_path):
    found = run(robot(tmp_path / "bag", prefix="robot1/"), robot=RobotSetup(base_frame="robot1/base_link"))
    assert found.summary["odometry"]["images"] == 0
    assert "with odometry: 0 of 12 images" in said(found) and "give --odom-frame robot1/odom" in said(found)
    right = run(tmp_path / "bag", robot=RobotSetup(base_frame="robot1/base_link", odom_frame="robot1/odom"))
    assert right.summary["odometry"] == {"images": 12, "reasons": {}, "hint": ""}


@pytest.mark.parametrize("topic", ["/tf", IMAGE, "/camera/camera_info"])
def test_a_topic_that_is_no_odometry_is_named(tmp_path, topic):
    with pytest.raises(ValueError, match=rf"{topic} is of type .*, not nav_msgs/Odometry"):
        run(robot(tmp_path / "bag"), robot=RobotSetup(odometry_topic=topic))


@pytest.mark.parametrize("names", [("/robot1/tf", "/robot1/tf_static"), ("/robot1/tf", "/tf_static")])
@pytest.mark.parametrize("images", [IMAGE, f"/robot1{IMAGE}"])
def test_transforms_in_a_robots_namespace_are_read_and_named(tmp_path, names, images, caplog):
    renamed = dict(zip(("/tf", "/tf_static"), names, strict=True)) | {IMAGE: images}
    bag = rewritten(robot(tmp_path / "plain"), tmp_path / "bag", renamed=renamed)
    found = run(bag)
    assert found.summary["odometry"]["images"] == 12 and found.summary["localized"] == 12
    assert "/tf was not recorded, /robot1/tf is read instead" in caplog.text


@pytest.mark.parametrize("images", [IMAGE, f"/robot2{IMAGE}"])
def test_of_several_robots_transforms_are_those_of_the_camera(tmp_path, images, caplog):
    bag = rewritten(robot(tmp_path / "plain"), tmp_path / "bag", renamed={"/tf": "/robot2/tf", IMAGE: images})
    with Recording(bag) as recording:
        kinds = recording.topics | {"/robot1/tf": "tf2_msgs/msg/TFMessage"}
        both = SimpleNamespace(topics=kinds, path=bag, count=lambda topic: 1)
        chosen = choose_transform_topic(both, "/tf", images)
    assert chosen == ("" if images == IMAGE else "/robot2/tf")
    told = "none of /robot1/tf, /robot2/tf is read" if images == IMAGE else "/robot2/tf is read instead"
    assert told in caplog.text


def test_two_clocks_are_told(tmp_path):
    found = run(robot(tmp_path / "bag", since_boot=True))
    assert found.summary["localized"] == 12 and found.summary["odometry"]["images"] == 0
    assert "no image lies within the recording's transforms: images are of 5.000" in said(found)


@pytest.mark.parametrize(("parents", "images"), [(("odom", "wheel"), 12), (("wheel", "odom"), 0), (("wheel",), 0)])
def test_a_base_with_two_parents_has_odometry_as_tf2_decides(tmp_path, parents, images):
    """An image has the stamp of the first parent's transform; the second's comes a microsecond later."""
    found = run(robot(tmp_path / "bag", parents=parents))
    assert found.summary["odometry"]["images"] == images
    assert sum(found.summary["odometry"]["reasons"].values()) == 12 - images
    if parents == ("wheel", "odom"):
        assert "'base_link' was published below 'wheel' and 'odom'" in said(found)


def test_a_stamp_that_comes_twice_is_left_out_and_counted(tmp_path):
    bag = robot(tmp_path / "bag", order=(0, 1, 1, 2, 3, 3, 3, 4))
    found = run(bag, TruthSource(topic=ODOM))
    assert (found.summary["images"], found.summary["repeated_images"], found.summary["laps"]) == (5, 3, 1)
    assert found.summary["localized"] == 5 and "repeated images: 3 left out" in said(found)
    source = read_bag(bag, ReadingPlan(truth=TruthSource(topic=ODOM)), EVERY_IMAGE, tmp_path / "frames", quiet=True)
    assert len(source.images) == 5 and "3 images" in source.notes["repeated images"]


@pytest.mark.parametrize("laps", [2, 3])
def test_a_recording_of_a_loop_is_told_as_one(tmp_path, laps):
    bag = robot(tmp_path / "bag", order=tuple(range(6)) * laps)
    found = run(bag, TruthSource(topic=ODOM))
    assert (found.summary["images"], found.summary["laps"]) == (6, laps)
    assert f"{6 * (laps - 1)} left out, of {laps} laps" in said(found)
    source = read_bag(bag, ReadingPlan(truth=TruthSource(topic=ODOM)), EVERY_IMAGE, tmp_path / "frames", quiet=True)
    assert len(source.images) == 6 and f"{laps} laps" in source.notes["repeated images"]


@pytest.mark.parametrize(
    ("topic", "rectified"),
    [
        ("/camera/image_rect", True),
        ("/cam/image_rect/compressed", True),
        ("/zed/left/image_rect_color", True),
        ("/camera/rectified/image", True),
        ("/left/image_rectified", True),
        ("/camera/image_raw", False),
        ("/direct/image", False),
        ("/correct_camera/image", False),
        ("/rectangle/image_color", False),
    ],
)
def test_a_topic_says_whether_its_images_are_rectified(topic, rectified):
    assert says_rectified(topic) == rectified


BENT = Camera("OPENCV", 64, 48, (60.0, 60.0, 31.5, 23.5, -0.3, 0.08, 0.0, 0.0))


class OneLens(StandInLocalizer):
    """Finds more inliers with the lens that truly took the images."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model = model

    def localize(self, image, camera, prior=None, mask=None, name="", extracted=None):
        found = super().localize(image, camera, prior)
        inliers = np.ones(200 if camera.model == self.model else 120, bool)
        return replace(found, evidence=replace(found.evidence, inlier_mask=inliers))


@pytest.mark.parametrize("topic", ["/camera/image_rect", "/camera/image_raw"])
@pytest.mark.parametrize("model", ["PINHOLE", "OPENCV"])
@pytest.mark.parametrize("flag", [None, True, False])
def test_a_forgotten_flag_is_made_up_for_by_the_images(tmp_path, topic, model, flag, caplog):
    bag = robot(tmp_path / "bag", image_topic=topic, info=BENT)
    found = run(bag, localizer=OneLens(model), robot=RobotSetup(rectified=flag))
    lens, truly = found.summary["lens"], model == "PINHOLE"
    assert lens["rectified"] == (truly if flag is None else flag)
    assert lens["because"] == ("images" if flag is None else "flag")
    assert lens["inliers"] == ([480, 800] if truly else [800, 480])
    surprising = lens["rectified"] != truly or lens["rectified"] != says_rectified(topic)
    assert ("if that is wrong, give" in caplog.text) == surprising


class LensThatFits(StandInLocalizer):
    """Finds as many inliers with either lens; with the one that did not take the images k1 is off."""

    def __init__(self, model: str, k1: float) -> None:
        super().__init__()
        self.off = {True: 0.01, False: k1}
        self.model = model

    def localize(self, image, camera, prior=None, mask=None, name="", extracted=None):
        found = super().localize(image, camera, prior)
        information = np.diag(np.array([0.01, 1.0, 1.0, 0.01]) ** -2.0)
        vector = information @ [0.0, 0.0, 0.0, self.off[camera.model == self.model]]
        fit = IntrinsicsFit(information, vector, found.cam_from_world, 1.0)
        return replace(found, evidence=replace(found.evidence, intrinsics=fit))


@pytest.mark.parametrize("topic", ["/camera/image_rect", "/camera/image_raw"])
@pytest.mark.parametrize("model", ["PINHOLE", "OPENCV"])
@pytest.mark.parametrize(("k1", "told"), [(-0.2, True), (0.2, True), (0.02, False)])
def test_the_lens_that_images_contradict_less_is_taken(tmp_path, topic, model, k1, told):
    bag = robot(tmp_path / "bag", image_topic=topic, info=BENT)
    lens = run(bag, localizer=LensThatFits(model, k1)).summary["lens"]
    assert lens["because"] == ("images" if told else "topic")
    assert lens["rectified"] == (model == "PINHOLE" if told else says_rectified(topic))


@pytest.mark.parametrize("one", [True, False])
@pytest.mark.parametrize(
    ("inliers", "contradictions", "told"),
    [
        ((130, 100), (47.0, 7.0), False),  # more inliers with a lens that is plainly off
        ((130, 100), (7.0, 47.0), True),
        ((130, 100), (7.0, 7.5), True),
        ((130, 100), (None, 7.0), True),
        ((110, 100), (7.0, 47.0), True),
        ((110, 100), (7.0, 7.5), False),
    ],
)
def test_inliers_and_numbers_that_disagree_do_not_tell_the_lens(one, inliers, contradictions, told):
    trials = {one: LensTrial(inliers[0], contradictions[0]), not one: LensTrial(inliers[1], contradictions[1])}
    assert choose_clearly_better(trials) is (one if told else None)


@pytest.mark.parametrize(
    ("topic", "flag", "says"),
    [
        ("/camera/image_rect", None, "P describes them; if they are not, give --no-rectified"),
        ("/camera/image_raw", None, "P as K: .*if they are rectified, give --rectified"),
        ("/camera/image_raw", False, ""),
        ("/camera/image_rect", True, ""),
    ],
)
def test_a_map_says_what_its_images_were_taken_for(tmp_path, topic, flag, says, caplog):
    bag = robot(tmp_path / "bag", image_topic=topic, info=BENT)
    reading = ReadingPlan(robot=RobotSetup(rectified=flag), truth=TruthSource(topic=ODOM))
    source = read_bag(bag, reading, EVERY_IMAGE, tmp_path / "frames", quiet=True)
    assert source.images[0].camera.model == ("PINHOLE" if "rect" in topic else "OPENCV")
    assert re.search(says, source.notes.get("lens", "")) and bool(says) == ("lens" in source.notes)


@pytest.mark.parametrize("topic", ["/camera/image_rect", "/camera/image_raw"])
def test_where_images_do_not_tell_the_topic_decides(tmp_path, topic):
    found = run(robot(tmp_path / "bag", image_topic=topic, info=BENT))
    assert found.summary["lens"]["rectified"] == says_rectified(topic) and found.summary["lens"]["because"] == "topic"


def test_a_camera_info_of_another_frame_can_be_accepted(tmp_path):
    bag = robot(tmp_path / "bag")
    with pytest.raises(ValueError, match="--camera-info-frame"):
        run(bag, robot=RobotSetup(camera_info_frame="other"))
    assert run(bag, robot=RobotSetup(camera_info_frame="/camera_optical")).summary["localized"] == 12


def test_why_no_image_has_a_pose_is_counted(tmp_path):
    wide = Camera("PINHOLE", 128, 96, (120.0, 120.0, 63.5, 47.5))
    found = run(robot(tmp_path / "bag", info=wide))
    assert found.summary["localized"] == 0
    assert "without a pose: 12: image unusable: image of" in said(found) and "camera of 128 x 96" in said(found)
