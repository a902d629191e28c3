"""The last pose on disk."""

import numpy as np
import pycolmap
import pytest

pytest.importorskip("rclpy")

from cv_bridge import CvBridge
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from ros.stand_in import StandInMap, open_stand_in
from ros_helpers import wait_until

from deviloc_ros.ros.node import DevilocNode
from deviloc_ros.ros.saved_pose import PoseKeeper, load_pose, save_pose
from deviloc_ros.tracking.fix import Fix

FIX = Fix(
    5, pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.1, 0.2, 0.3])), np.array([1.0, 2.0, 3.0])), np.eye(6) * 0.01
)


def test_it_comes_back_for_the_same_map_with_the_time_of_now(tmp_path):
    save_pose(tmp_path / "last.json", "abc", FIX)
    map_id, loaded = load_pose(tmp_path / "last.json", ["abd", "abc"], 99)
    assert map_id == "abc"
    assert loaded.stamp_ns == 99 and loaded.odometry is None
    assert np.allclose(loaded.map_from_base.matrix(), FIX.map_from_base.matrix())
    assert np.allclose(loaded.covariance, FIX.covariance)


def test_nothing_saved_is_nothing_known(tmp_path):
    assert load_pose(tmp_path / "last.json", ["abc"], 0) is None


def test_that_of_another_map_is_refused(tmp_path):
    save_pose(tmp_path / "last.json", "abc", FIX)
    with pytest.raises(ValueError, match="another map"):
        load_pose(tmp_path / "last.json", ["abd", "abe"], 0)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"map_id": "abc", "translation_m": ["x"]}', "null"])
def test_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / "last.json").write_text(text)
    with pytest.raises(ValueError, match=r"last\.json"):
        load_pose(tmp_path / "last.json", ["abc"], 0)


def test_numbers_that_are_none_are_refused(tmp_path):
    save_pose(tmp_path / "last.json", "abc", Fix(5, FIX.map_from_base, np.full((6, 6), np.nan)))
    with pytest.raises(ValueError, match="finite"):
        load_pose(tmp_path / "last.json", ["abc"], 0)


class Log:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.error = self.warning = self.info = self.said.append


@pytest.mark.parametrize("place", ["folder", "loop", "file/below", "zero\0byte", "x" * 300])
def test_a_place_where_nothing_can_be_written_or_read_is_said_once(tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    keeper = PoseKeeper(str(tmp_path / place / "last.json" if place == "loop" else tmp_path / place), log := Log())
    assert keeper.load(["abc"], 0) is None
    log.said.clear()
    for fix in (FIX, FIX, Fix(6, FIX.map_from_base, FIX.covariance)):
        keeper.save("abc", fix)
    assert len(log.said) == 1 and log.said == [keeper.problem] and keeper.problem.startswith("pose not saved: ")


@pytest.mark.ros
@pytest.mark.parametrize("told", ["nothing", "initialpose", "forget"])
def test_it_is_searched_first_unless_someone_knows_better(ros, tmp_path, told):
    save_pose(tmp_path / "last.json", StandInMap.identity, FIX)
    node = DevilocNode(
        open_stand_in, parameter_overrides=[Parameter("save_pose_path", value=str(tmp_path / "last.json"))]
    )
    assert node.start()
    session = node._session
    follower, now_ns = session._follower, node.get_clock().now().nanoseconds
    if told == "initialpose":
        follower.hint(Fix(now_ns, pycolmap.Rigid3d(), np.eye(6)))
    if told == "forget":
        session.reset_tracking("told to")
    for change in (lambda: None, node.trigger_deactivate, node.trigger_activate):
        change()
        image = CvBridge().cv2_to_imgmsg(np.zeros((48, 64), np.uint8), "mono8")
        session._intake.note_image("", serialize_message(image))
    wait_until(lambda: session._tally.processed > 0)  # the worker loads the pose with the first image
    known = follower._maps.shown.tracker.expected_fix(now_ns, None)
    node.close()
    node.destroy_node()
    x = {"nothing": FIX.map_from_base.translation[0], "initialpose": 0.0, "forget": None}[told]
    assert (known.map_from_base.translation[0] if known else None) == x
