"""Write rosbag2 recordings (mcap) without ROS, as of a robot with one camera and odometry."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import NDArray
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer

from deviloc_ros.bags.reader import METADATA, TYPES
from deviloc_ros.camera import Camera
from deviloc_ros.io.atomic import name_file_in_errors
from deviloc_ros.io.outputs import refuse_folder

ENCODINGS = {"uint8": "mono8", "uint16": "16UC1", "float32": "32FC1"}  # of images of one channel
FOREVER = QosTime(9223372036, 854775807)  # what rosbag2 writes for "no limit"


def make_qos(latched: bool) -> Qos:
    """Return the QoS profile of a topic; of a latched one, players give late subscribers the last message."""
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=100 if latched else 10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=FOREVER,
        lifespan=FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=FOREVER,
        avoid_ros_namespace_conventions=False,
    )


def distortion_to_ros(camera: Camera) -> tuple[str, list[float]]:
    """Return ROS's name and coefficients for the distortion of a COLMAP camera.

    Raises:
        ValueError: ROS has no name for this model.
    """
    extra = list(camera.params[len(camera.params) - len(camera.colmap.extra_params_idxs()) :])
    match camera.model:
        case "SIMPLE_PINHOLE" | "PINHOLE":
            return "plumb_bob", [0.0] * 5
        case "SIMPLE_RADIAL" | "RADIAL":
            return "plumb_bob", [*extra, *[0.0] * (2 - len(extra)), 0.0, 0.0, 0.0]
        case "OPENCV":
            return "plumb_bob", [*extra, 0.0]
        case "OPENCV_FISHEYE":
            return "equidistant", extra
        case "FULL_OPENCV":
            return "rational_polynomial", extra
    raise ValueError(f"camera model {camera.model} has no counterpart in sensor_msgs/CameraInfo")


class BagWriter:
    """Write messages in the order of the calls; use it as a context manager.

    The folder appears when the context ends without an error; otherwise nothing is left. Each message is stored as
    received at its own stamp, or `late_ns` after that.

    Raises:
        OSError: something is at `path`, or with `overwrite` something that is not a bag.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        refuse_folder(path, overwrite=overwrite)
        if path.is_dir() and any(path.iterdir()) and not (path / METADATA).is_file():
            raise FileExistsError(f"{path} exists and is not a bag, so it is not overwritten")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.late_ns = 0
        self._path = path
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> BagWriter:
        self._unfinished = Path(tempfile.mkdtemp(prefix=f".{self._path.name}.", dir=self._path.parent))
        unfinished = self._unfinished / self._path.name
        self._writer = Writer(unfinished, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with name_file_in_errors(self._path):
                self._writer.close()
            if error is None:
                shutil.rmtree(self._path, ignore_errors=True)
                (self._unfinished / self._path.name).rename(self._path)
        finally:
            shutil.rmtree(self._unfinished, ignore_errors=True)

    def write_image(self, topic: str, time_ns: int, frame: str, pixels: NDArray) -> None:
        """Write a sensor_msgs/Image of (H, W) gray or (H, W, 3) BGR, uint8, or (H, W) depth: uint16 mm or float32 m."""
        height, width = pixels.shape[:2]
        self._write(
            topic,
            time_ns,
            "sensor_msgs/msg/Image",
            header=make_header(time_ns, frame),
            height=height,
            width=width,
            encoding="bgr8" if pixels.ndim == 3 else ENCODINGS[pixels.dtype.name],
            is_bigendian=0,
            step=pixels.nbytes // height,
            data=np.ascontiguousarray(pixels).view(np.uint8).reshape(-1),
        )

    def write_compressed_image(self, topic: str, time_ns: int, frame: str, data: bytes, encoding: str = "jpeg") -> None:
        """Write a sensor_msgs/CompressedImage of the bytes of a JPEG or PNG file."""
        pixels = np.frombuffer(data, np.uint8)
        self._write(
            topic,
            time_ns,
            "sensor_msgs/msg/CompressedImage",
            header=make_header(time_ns, frame),
            format=encoding,
            data=pixels,
        )

    def write_camera_info(self, topic: str, time_ns: int, frame: str, camera: Camera) -> None:
        """Write the sensor_msgs/CameraInfo of an unrectified image."""
        model, coefficients = distortion_to_ros(camera)
        matrix = camera.colmap.calibration_matrix()
        region = TYPES.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        self._write(
            topic,
            time_ns,
            "sensor_msgs/msg/CameraInfo",
            header=make_header(time_ns, frame),
            height=camera.height,
            width=camera.width,
            distortion_model=model,
            d=np.array(coefficients),
            k=matrix.reshape(-1),
            r=np.eye(3).reshape(-1),
            p=np.concatenate([matrix, np.zeros((3, 1))], 1).reshape(-1),
            binning_x=0,
            binning_y=0,
            roi=region,
        )

    def write_transform(
        self, time_ns: int, parent: str, child: str, parent_from_child: pycolmap.Rigid3d, static: bool = False
    ) -> None:
        """Write one transform to /tf, or to /tf_static, which is latched."""
        transform = TYPES.types["geometry_msgs/msg/Transform"](
            make_vector(parent_from_child.translation), make_quaternion(parent_from_child)
        )
        stamped = TYPES.types["geometry_msgs/msg/TransformStamped"](make_header(time_ns, parent), child, transform)
        topic = "/tf_static" if static else "/tf"
        self._write(topic, time_ns, "tf2_msgs/msg/TFMessage", transforms=[stamped])

    def write_odometry(
        self, topic: str, time_ns: int, parent: str, child: str, parent_from_child: pycolmap.Rigid3d
    ) -> None:
        """Write a nav_msgs/Odometry; velocities and covariances are zero, which means unknown."""
        with_covariance = TYPES.types["geometry_msgs/msg/PoseWithCovariance"](
            make_pose(parent_from_child), np.zeros(36)
        )
        still = TYPES.types["geometry_msgs/msg/Twist"](make_vector(np.zeros(3)), make_vector(np.zeros(3)))
        self._write(
            topic,
            time_ns,
            "nav_msgs/msg/Odometry",
            header=make_header(time_ns, parent),
            child_frame_id=child,
            pose=with_covariance,
            twist=TYPES.types["geometry_msgs/msg/TwistWithCovariance"](still, np.zeros(36)),
        )

    def write_pose(self, topic: str, time_ns: int, frame: str, frame_from_body: pycolmap.Rigid3d) -> None:
        """Write a geometry_msgs/PoseStamped."""
        stamped = {"header": make_header(time_ns, frame), "pose": make_pose(frame_from_body)}
        self._write(topic, time_ns, "geometry_msgs/msg/PoseStamped", **stamped)

    def write_pose_with_covariance(
        self, topic: str, time_ns: int, frame: str, frame_from_body: pycolmap.Rigid3d, covariance: NDArray
    ) -> None:
        """Write a PoseWithCovarianceStamped; its (6, 6) has translation before rotation, in axes of `frame`."""
        with_covariance = TYPES.types["geometry_msgs/msg/PoseWithCovariance"](
            make_pose(frame_from_body), np.ascontiguousarray(covariance, float).reshape(36)
        )
        stamped = {"header": make_header(time_ns, frame), "pose": with_covariance}
        self._write(topic, time_ns, "geometry_msgs/msg/PoseWithCovarianceStamped", **stamped)

    def _write(self, topic: str, time_ns: int, kind: str, **fields: Any) -> None:
        if topic not in self._connections:
            offered = [make_qos(latched=topic == "/tf_static")]
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=TYPES, offered_qos_profiles=offered
            )
        message = TYPES.types[kind](**fields)
        with name_file_in_errors(self._path):
            self._writer.write(self._connections[topic], time_ns + self.late_ns, TYPES.serialize_cdr(message, kind))


def make_header(time_ns: int, frame: str) -> Any:
    """Make a std_msgs/Header."""
    stamp = TYPES.types["builtin_interfaces/msg/Time"](*divmod(time_ns, 1_000_000_000))
    return TYPES.types["std_msgs/msg/Header"](stamp, frame)


def make_vector(values: NDArray) -> Any:
    """Make a geometry_msgs/Vector3."""
    return TYPES.types["geometry_msgs/msg/Vector3"](*(float(v) for v in values))


def make_quaternion(transform: pycolmap.Rigid3d) -> Any:
    """Make the geometry_msgs/Quaternion of a transform's rotation."""
    return TYPES.types["geometry_msgs/msg/Quaternion"](*(float(v) for v in transform.rotation.quat))


def make_pose(frame_from_body: pycolmap.Rigid3d) -> Any:
    """Make a geometry_msgs/Pose."""
    point = TYPES.types["geometry_msgs/msg/Point"](*(float(v) for v in frame_from_body.translation))
    return TYPES.types["geometry_msgs/msg/Pose"](point, make_quaternion(frame_from_body))
