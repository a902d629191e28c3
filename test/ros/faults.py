"""Messages that no honest sender sends, for the live node."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from pictures import bomb, png_of_size
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from ros.robot import Robot
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from deviloc_ros.ros.conversions import time_msg, transform_msg

Send = Callable[[Robot], None]
BIG = 2**32 - 1
LONG_TEXT = "x" * 300_000
ENDS = ("int_min", -(2**31)), ("minus_one", -1), ("int_max", 2**31 - 1)
ODD_NUMBERS = ("nan", float("nan")), ("inf", float("inf")), ("1e200", 1e200), ("1e308", 1e308), ("zero", 0.0)


@dataclass(frozen=True)
class Fault:
    """What is sent. `long`: not part of the short run. `transport`: of the images that the node takes."""

    name: str
    send: Send
    long: bool = True
    transport: str = "raw"


def image(robot: Robot, **fields) -> Image:
    """An image that is all right but for the given fields."""
    msg = Image(height=48, width=64, encoding="mono8", step=64, data=bytes([50]) * 64 * 48)
    msg.header.frame_id, msg.header.stamp = "camera", time_msg(robot.now_ns())
    return changed(msg, fields)


def info(**fields) -> CameraInfo:
    msg = CameraInfo(width=64, height=48, distortion_model="plumb_bob")
    msg.k = [60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0]
    msg.header.frame_id = "camera"
    return changed(msg, fields)


def transform(robot: Robot, **fields) -> TransformStamped:
    from ros.robot import ODOM_FROM_BASE

    return changed(transform_msg(ODOM_FROM_BASE, robot.now_ns(), "odom", "base_link"), fields)


def changed(msg, fields: dict):
    """The message with fields set; `header__stamp__sec` names a field of a field."""
    for path, value in fields.items():
        *above, name = path.split("__")
        owner = msg
        for step in above:
            owner = getattr(owner, step)
        setattr(owner, name, value)
    return msg


def sent_image(**fields) -> Send:
    return lambda robot: robot.images.publish(image(robot, **fields))


def sent_info(**fields) -> Send:
    return lambda robot: robot.infos.publish(info(**fields))


def sent_transform(static: bool = False, **fields) -> Send:
    def send(robot: Robot) -> None:
        (robot.static_transforms if static else robot.transforms_sent).publish(
            TFMessage(transforms=[transform(robot, **fields)])
        )

    return send


def sent_pose(**fields) -> Send:
    def send(robot: Robot) -> None:
        msg = PoseWithCovarianceStamped()
        msg.header.frame_id, msg.header.stamp = "map", time_msg(robot.now_ns())
        robot.initial_poses.publish(changed(msg, fields))

    return send


def bytes_on(topic: str, data: bytes) -> Send:
    """Bytes on a topic that are no message."""
    return lambda robot: getattr(robot, topic).publish(data)


def sent_compressed(data: bytes | Callable[[], bytes], form: str = "png") -> Send:
    def send(robot: Robot) -> None:
        msg = CompressedImage(format=form, data=data() if callable(data) else data)
        msg.header.frame_id, msg.header.stamp = "camera", time_msg(robot.now_ns())
        robot.compressed_images.publish(msg)

    return send


def invented_frames(robot: Robot) -> None:
    for number in range(400):
        robot.images.publish(image(robot, header__frame_id=f"invented_{number}"))
        robot.infos.publish(info(header__frame_id=f"invented_{number}"))
        if number % 10 == 0:
            robot.for_a_while(0.05)


def many_frames(robot: Robot) -> None:
    for start in range(0, 10_000, 500):
        msgs = [transform(robot, child_frame_id=f"leaf_{number}") for number in range(start, start + 500)]
        robot.transforms_sent.publish(TFMessage(transforms=msgs))
        robot.for_a_while(0.02)


def loop(robot: Robot) -> None:
    robot.transforms_sent.publish(
        TFMessage(transforms=[transform(robot, header__frame_id="base_link", child_frame_id="odom")])
    )


def many_triggers(robot: Robot) -> None:
    client = robot.create_client(Trigger, "/deviloc/trigger_localization", qos_profile=QoSProfile(depth=2000))
    robot.until(client.service_is_ready)
    answers = [client.call_async(Trigger.Request()) for _ in range(1500)]
    robot.see_until(lambda: all(answer.done() for answer in answers))  # by a pose, or at once where too many wait
    assert {answer.result().success for answer in answers} == {True, False}
    robot.destroy_client(client)


def odd_parameters(robot: Robot) -> None:
    values = [ParameterValue(type=kind) for kind in range(0, 10)]
    names = ("map_path", "pose.min_inliers", "", LONG_TEXT, "a.b.c", "tracking.confirmations")
    request = SetParameters.Request(parameters=[Parameter(name=name, value=v) for name in names for v in values])
    robot.call(SetParameters, "/deviloc/set_parameters", request)


def unknown_parameter_types(robot: Robot) -> None:
    """rclpy raises in the service's callback, and so nobody gets an answer."""
    client = robot.create_client(SetParameters, "/deviloc/set_parameters")
    robot.until(client.service_is_ready)
    for kind in (10, 11, 255):
        parameter = Parameter(name="map_path", value=ParameterValue(type=kind))
        client.call_async(SetParameters.Request(parameters=[parameter]))
    robot.for_a_while(0.5)
    robot.destroy_client(client)


def encoded(kind: str) -> bytes:
    """A small picture of a kind that is not of 8-bit gray or colour, or cut off."""
    import cv2

    picture = np.full((48, 64, 3), 50, np.uint8)
    if kind == "16 bit":
        return cv2.imencode(".png", picture.astype(np.uint16) * 256)[1].tobytes()
    whole = cv2.imencode(f".{kind}", picture)[1].tobytes()
    return whole[: len(whole) // 2]


def gif() -> bytes:
    from PIL import Image as Picture

    file = io.BytesIO()
    Picture.new("P", (64, 48)).save(file, "GIF")
    return file.getvalue()


def all_faults() -> Iterator[Fault]:
    yield from faults_of_raw_images()
    yield from faults_of_calibrations()
    yield from faults_of_transforms()
    yield from faults_of_poses_and_calls()
    yield from faults_of_padding()
    yield from faults_of_compressed_images()


def faults_of_raw_images() -> Iterator[Fault]:
    for size in range(0, 20):
        yield Fault(f"image of {size} bytes", bytes_on("images", bytes(size)), long=size not in (0, 4, 11))
    whole = serialize_message(Image(height=48, width=64, encoding="mono8", step=64, data=bytes(64 * 48)))
    for size in (20, 31, 40, 57, len(whole) // 2, len(whole) - 1):
        yield Fault(f"image cut at {size}", bytes_on("images", whole[:size]), long=size != 40)
    yield Fault("image of other bytes", bytes_on("images", b"\xff" * 4000))
    noise = np.random.default_rng(0)
    for number in range(20):
        yield Fault(f"image of noise {number}", bytes_on("images", b"\0\1\0\0" + noise.bytes(500)))
    sizes = {"width": BIG, "height": BIG, "step": BIG}
    for name, value in sizes.items():
        yield Fault(f"image {name} {value}", sent_image(**{name: value}), long=name != "width")
        yield Fault(f"image {name} 0", sent_image(**{name: 0}))
    yield Fault("image all sizes huge", sent_image(**sizes))
    yield Fault("image without data", sent_image(data=b""))
    for encoding in ("", "nonsense", "8UC9999999", "32FC1", "64FC4", "bgr16", "nv12", "bayer_rggb16", LONG_TEXT, "\0"):
        yield Fault(f"image encoding {encoding[:20]!r}", sent_image(encoding=encoding), long=encoding != "8UC9999999")
    yield Fault("image with a long frame", sent_image(header__frame_id=LONG_TEXT), long=False)
    for name, value in ENDS:
        yield Fault(f"image stamp sec {name}", sent_image(header__stamp__sec=value))
    yield Fault("image stamp nanosec", sent_image(header__stamp__nanosec=BIG))
    yield Fault("400 invented frames", invented_frames, long=False)
    yield Fault("breaks the localizer", lambda robot: robot.send_image(255), long=False)


def faults_of_calibrations() -> Iterator[Fault]:
    for name, value in ODD_NUMBERS:
        yield Fault(f"calibration k {name}", sent_info(k=[value] * 9), long=name != "nan")
        yield Fault(f"calibration d {name}", sent_info(d=[value] * 5))
    yield Fault("calibration width", sent_info(width=BIG, height=BIG), long=False)
    yield Fault("calibration without size", sent_info(width=0))
    yield Fault("calibration d of 100000", sent_info(d=[0.1] * 100_000))
    yield Fault("calibration of a long model", sent_info(distortion_model=LONG_TEXT))
    yield Fault("calibration binning", sent_info(binning_x=BIG, binning_y=BIG))
    roi = RegionOfInterest(x_offset=BIG, y_offset=BIG, width=1, height=1)
    yield Fault("calibration region", sent_info(roi=roi))
    for size in (0, 4, 20):
        yield Fault(f"calibration of {size} bytes", bytes_on("infos", bytes(size)))


def faults_of_transforms() -> Iterator[Fault]:
    for where in ("", " static"):
        static = bool(where)
        for name, value in ENDS:
            fault = sent_transform(static, header__stamp__sec=value)
            yield Fault(f"transform{where} sec {name}", fault, long=static)
        for name, value in ODD_NUMBERS:
            for field in ("rotation__w", "translation__x"):
                if (field, name) == ("translation__x", "zero") or static:
                    continue  # a static one that is all right would hold for ever
                fault = sent_transform(static, **{f"transform__{field}": value})
                yield Fault(f"transform{where} {field} {name}", fault, long=name != "1e200")
    yield Fault("transform without names", sent_transform(header__frame_id="", child_frame_id=""))
    yield Fault("transform of long names", sent_transform(child_frame_id=LONG_TEXT))
    yield Fault("transform to itself", sent_transform(child_frame_id="odom"))
    yield Fault("transforms in a loop", loop)
    yield Fault("10000 frames", many_frames)
    for size in (0, 4, 5, 8, 12):
        yield Fault(f"transform of {size} bytes", bytes_on("transforms_sent", bytes(size)), long=size != 4)
    yield Fault("transform with a length of 4 G", bytes_on("transforms_sent", b"\0\1\0\0\xff\xff\xff\xff"))


def faults_of_poses_and_calls() -> Iterator[Fault]:
    for name, value in ODD_NUMBERS:
        fault = sent_pose(pose__pose__orientation__w=value, pose__covariance=[value] * 36)
        yield Fault(f"initialpose {name}", fault, long=name != "1e308")
    yield Fault("initialpose covariance 1e308", sent_pose(pose__covariance=[1e308] * 36))
    for name, value in ENDS:
        yield Fault(f"initialpose sec {name}", sent_pose(header__stamp__sec=value))
    yield Fault("initialpose of 4 bytes", bytes_on("initial_poses", bytes(4)))
    yield Fault("1500 triggers", many_triggers, long=False)
    yield Fault("odd parameters", odd_parameters)
    yield Fault("parameters of unknown types", unknown_parameter_types, long=False)


def faults_of_padding() -> Iterator[Fault]:
    """Bytes whose third and fourth say that more of the end is padding than there is, and those of other encodings."""
    for topic in ("images", "infos", "transforms_sent", "static_transforms", "initial_poses"):
        for size in (0, 1, 4, 8):
            for head in (b"\0\1\0\3", b"\0\1\xff\xff", b"\0\0\0\1", b"\0\7\0\3", b"\0\3\0\2", b"\0\x0b\0\3"):
                name = f"{size} bytes after {head.hex()} on {topic}"
                yield Fault(name, bytes_on(topic, head + bytes(size)), long=(size, head[3:]) != (1, b"\3"))


def faults_of_compressed_images() -> Iterator[Fault]:
    def fault(name: str, data: bytes | Callable[[], bytes], long: bool = True) -> Fault:
        return Fault(f"compressed {name}", sent_compressed(data), long, "compressed")

    yield fault("PNG of 12000 x 12000", bomb, long=False)
    yield fault("PNG header of 2 G x 2 G", png_of_size(2**31 - 1, 2**31 - 1))
    yield fault("PNG header of 1 x 2 G", png_of_size(1, 2**31 - 1))
    yield fault("PNG of the right size, cut", png_of_size(64, 48)[:60])
    yield fault("nothing", b"")
    yield fault("noise", np.random.default_rng(1).bytes(5000), long=False)
    for kind in ("jpg", "png", "webp", "tiff", "bmp"):
        yield fault(f"{kind}, cut", lambda kind=kind: encoded(kind))
    yield fault("16 bit", lambda: encoded("16 bit"))
    yield fault("gif", gif)
    for size in (0, 4, 11, 40):
        yield Fault(f"compressed of {size} bytes", bytes_on("compressed_images", bytes(size)), size != 4, "compressed")
