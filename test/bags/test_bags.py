"""What goes into a bag comes out of it, with the types and the stamps that ROS expects."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pycolmap
import pytest
import yaml

from deviloc_ros.bags.reader import RecordedMessage, Recording, read_messages
from deviloc_ros.bags.topics import IMAGE_TYPES, find_only_image_topic
from deviloc_ros.bags.writer import BagWriter, distortion_to_ros
from deviloc_ros.camera import Camera
from deviloc_ros.messages.headers import rigid_from_pose, stamp_ns

CAMERA = Camera("SIMPLE_RADIAL", 64, 48, (50.0, 31.5, 23.5, -0.1))
POSE = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.1, -0.2, 0.3])), np.array([1.0, 2.0, 3.0]))
TIME_NS = 1_700_000_000_123_456_789


@pytest.fixture
def bag(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_transform(TIME_NS, "base_link", "camera", POSE, static=True)
        writer.write_image("/image", TIME_NS, "camera", pixels)
        writer.write_image("/gray", TIME_NS, "camera", pixels[..., 0])
        writer.write_compressed_image("/image/compressed", TIME_NS, "camera", b"\xff\xd8\xff")
        writer.write_camera_info("/camera_info", TIME_NS, "camera", CAMERA)
        writer.write_odometry("/odom", TIME_NS, "odom", "base_link", POSE)
        writer.write_pose("/truth", TIME_NS + 1, "map", POSE)
    return tmp_path / "bag", pixels


def only(path, topic):
    with Recording(path) as recording:
        (recorded,) = recording.messages((topic,))
        return recorded.message()


def test_images_come_back_bit_by_bit(bag):
    path, pixels = bag
    color, gray = only(path, "/image"), only(path, "/gray")
    assert (color.encoding, color.step, gray.encoding, gray.step) == ("bgr8", 192, "mono8", 64)
    np.testing.assert_array_equal(color.data.reshape(48, 64, 3), pixels)
    np.testing.assert_array_equal(gray.data.reshape(48, 64), pixels[..., 0])
    assert only(path, "/image/compressed").data.tobytes() == b"\xff\xd8\xff"


def test_stamps_and_frames_are_those_given(bag):
    path, _ = bag
    truth, odometry = only(path, "/truth"), only(path, "/odom")
    assert stamp_ns(truth) == TIME_NS + 1 and truth.header.frame_id == "map"
    assert (odometry.header.frame_id, odometry.child_frame_id) == ("odom", "base_link")
    np.testing.assert_allclose(rigid_from_pose(truth.pose).matrix(), POSE.matrix(), atol=1e-12)
    np.testing.assert_allclose(rigid_from_pose(odometry.pose.pose).matrix(), POSE.matrix(), atol=1e-12)
    (transform,) = only(path, "/tf_static").transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ("base_link", "camera")


def test_a_ros2_folder_may_be_named_as_bags_of_ros1_are(bag, tmp_path):
    path, _ = bag
    path.rename(tmp_path / "drive.bag")
    assert only(tmp_path / "drive.bag", "/odom").child_frame_id == "base_link"


def test_camera_info_describes_the_camera(bag):
    info = only(bag[0], "/camera_info")
    assert (info.width, info.height, info.distortion_model) == (64, 48, "plumb_bob")
    np.testing.assert_allclose(info.k, [50, 0, 31.5, 0, 50, 23.5, 0, 0, 1])
    np.testing.assert_allclose(info.d, [-0.1, 0, 0, 0, 0])


def test_messages_come_in_order_of_time_and_topics_can_be_chosen(bag):
    with Recording(bag[0]) as recording:
        times = [recorded.time_ns for recorded in recording.messages()]
        assert times == sorted(times) and len(times) == 7
        with pytest.raises(ValueError, match="/nothing"):
            list(recording.messages(("/nothing",)))


@pytest.mark.parametrize(
    ("model", "params", "expected"),
    [
        ("PINHOLE", (50.0, 51.0, 32.0, 24.0), ("plumb_bob", [0.0] * 5)),
        ("OPENCV", (50.0, 51.0, 32.0, 24.0, 0.1, 0.2, 0.3, 0.4), ("plumb_bob", [0.1, 0.2, 0.3, 0.4, 0.0])),
        ("FULL_OPENCV", (50.0, 51.0, 32.0, 24.0, *range(8)), ("rational_polynomial", [*range(8)])),
        ("OPENCV_FISHEYE", (50.0, 51.0, 32.0, 24.0, 0.1, 0.2, 0.3, 0.4), ("equidistant", [0.1, 0.2, 0.3, 0.4])),
    ],
)
def test_distortion_has_the_name_and_order_of_ros(model, params, expected):
    assert distortion_to_ros(Camera(model, 64, 48, params)) == expected


def test_a_camera_ros_cannot_describe_is_refused():
    with pytest.raises(ValueError, match="FOV"):
        distortion_to_ros(Camera("FOV", 64, 48, (50.0, 51.0, 32.0, 24.0, 0.9)))


def test_an_existing_bag_is_not_overwritten_and_a_missing_one_is_named(bag, tmp_path):
    with pytest.raises(FileExistsError, match="is there; --overwrite replaces it"):
        BagWriter(bag[0])
    with pytest.raises(ValueError, match="nowhere"):
        Recording(tmp_path / "nowhere")


def test_an_earlier_bag_is_replaced_when_the_new_one_is_whole_and_nothing_else_ever(bag, tmp_path):
    before = sorted(bag[0].rglob("*"))
    with pytest.raises(RuntimeError), BagWriter(bag[0], overwrite=True) as writer:
        writer.write_image("/camera/image", 1, "camera", np.zeros((2, 2), np.uint8))
        raise RuntimeError
    assert sorted(bag[0].rglob("*")) == before
    with BagWriter(bag[0], overwrite=True) as writer:
        writer.write_image("/other", 1, "camera", np.zeros((2, 2), np.uint8))
    with Recording(bag[0]) as recording:
        assert list(recording.topics) == ["/other"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").write_text("mine")
    with pytest.raises(FileExistsError, match="not a bag"):
        BagWriter(tmp_path / "thesis", overwrite=True)


def test_a_file_that_was_renamed_beside_its_metadata_is_told(bag):
    path, _ = bag
    (part,) = path.glob("*.mcap")
    part.rename(path / "renamed.mcap")
    with pytest.raises(ValueError, match=r"files are missing: .*\(move metadata\.yaml away"), Recording(path):
        pass
    (path / "metadata.yaml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(ValueError, match=r"\(move metadata\.yaml away"), Recording(path):
        pass


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_damaged_metadata_is_told_from_damaged_files(bag, text):
    path, _ = bag
    (path / "metadata.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"not a readable bag: .*\(move metadata\.yaml away"), Recording(path):
        pass
    (path / "metadata.yaml").unlink()
    assert only(path, "/odom").child_frame_id == "base_link"
    (part,) = path.iterdir()
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(ValueError, match="if the recorder was stopped hard"), Recording(path):
        pass


def test_a_bag_that_could_not_be_finished_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), BagWriter(tmp_path / "bag") as writer:
        writer.write_pose("/truth", TIME_NS, "map", POSE)
        raise RuntimeError("the disk is full")
    assert not list(tmp_path.iterdir())


def test_many_damaged_messages_are_counted_in_the_memory_of_one(tmp_path, caplog):
    def refuse(data, kind):
        raise ValueError(data.decode() * 50)

    texts = (f"{topic} {number:04d}" for number in range(500) for topic in ("/tf", "/odom"))
    recorded = (RecordedMessage(text.split()[0], "kind", 0, text.encode(), refuse) for text in texts)
    tracemalloc.start()
    try:
        assert list(read_messages(tmp_path, recorded)) == []
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
    for topic in ("/tf", "/odom"):
        assert f"500 damaged messages on {topic}, left out; the first: {topic} at 0 ns: not a kind: {topic} 0000" in (
            caplog.text
        )


@pytest.mark.parametrize(
    "beside", [[], ["/front/depth/image_rect/compressedDepth"], ["/a/compressedDepth", "/b/compressedDepth"]]
)
def test_compressed_depth_is_no_choice_of_pictures(beside):
    def recording(*pictures):
        kinds = dict.fromkeys(beside, IMAGE_TYPES[1]) | dict.fromkeys(pictures, IMAGE_TYPES[0])
        return SimpleNamespace(path="drive", topics=kinds, count=lambda topic: 1)

    assert find_only_image_topic(recording("/front/image")) == "/front/image"
    with pytest.raises(ValueError, match="drive: no topic of images; it has"):
        find_only_image_topic(recording())
    with pytest.raises(ValueError, match=r"choose one with --image-topic: /front/image, /rear/image$"):
        find_only_image_topic(recording("/front/image", "/rear/image"))


def change_metadata(bag, change):
    path = bag / "metadata.yaml"
    content = yaml.safe_load(path.read_text())
    change(content["rosbag2_bagfile_information"])
    path.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("topic", ["/image", "/tf_static", "/odom"])
def test_a_topic_whose_metadata_and_file_differ_is_not_taken_for_an_empty_one(bag, topic):
    """As where the file was rewritten by another program; rosbags finds none of its messages then."""
    path, _ = bag
    named = []

    def change(content):
        named.extend(one["topic_metadata"] for one in content["topics_with_message_count"])
        (mine,) = [one for one in named if one["name"] == topic]
        mine["offered_qos_profiles"] = []

    change_metadata(path, change)
    with Recording(path) as recording:
        others = tuple(one["name"] for one in named if one["name"] != topic)
        assert len(list(recording.messages(others))) == len(others)
        with pytest.raises(ValueError, match=rf"the files lack messages.*{topic}.*move metadata.yaml away"):
            list(recording.messages())
    (path / "metadata.yaml").unlink()
    with Recording(path) as recording:
        assert len(list(recording.messages())) == len(named)


def test_metadata_that_lacks_something_is_said_with_what_to_do(bag):
    path, _ = bag
    change_metadata(path, lambda content: content.pop("topics_with_message_count"))
    with pytest.raises(ValueError, match=r"metadata key is missing.*move metadata.yaml away"), Recording(path):
        pass


def test_a_folder_of_bags_names_them(bag):
    path, _ = bag
    with pytest.raises(ValueError, match=r"there are bags in it, name them: bag$"), Recording(path.parent):
        pass
