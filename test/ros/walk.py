"""Walk at random through all that a running node can be sent and asked, in any order; what must always hold is seen to.

The robot stands; what its camera sees says where in the map it is (see stand_in.py), now here, now there.
"""

import math
import os
import random
import shutil
import subprocess
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pycolmap
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableStates, GetAvailableTransitions, GetState
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters, SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.serialization import serialize_message
from ros.robot import BASE_FROM_CAM, ODOM_FROM_BASE, TRANSITIONS, Robot, pose_time_ns
from ros.stand_in import cam_from_map
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, NavSatFix
from std_srvs.srv import Empty, SetBool, Trigger
from tf2_msgs.msg import TFMessage

from deviloc_ros.parameters.node_config import OF_NODE, default_camera
from deviloc_ros.ros.conversions import rigid_from_msg, time_msg, transform_msg
from deviloc_ros.ros.parameters import Parameters, all_fields, is_live
from deviloc_ros.tracking.fix import Fix, flatten

PLACES = (50, 60, 120)  # brightnesses
ANSWER_LIMIT_S = 30.0
LARGEST_DIAGNOSTIC = 16_000  # bytes
REMEMBERED = 40  # actions that are told if something is wrong
ODD_FLOATS = (math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, 0.0, -0.0, -1.0)
ODD_INTS = (0, -1, 2**31, 2**63 - 1, -(2**63))
ODD_TEXTS = ("", "/", "..", "\0", "x" * 5000, "a b", "/dev/null", "~nobody_at_all/x", "broken", "nan", "\n")
UNUSUAL = "map_path", "tracking.smoothing_s"  # has its own action; makes transforms of between
SLOW = {"transform_timeout": 0.1, "trigger_timeout_s": 0.5}  # not for longer, or the walk takes hours
KINDS = "CameraInfo", "NavSatFix", "PoseWithCovarianceStamped", "Image"
UP, DOWN = ("configure", "activate"), ("deactivate", "cleanup")


class Walk:
    """One node, and what was done to it. `step` does something, `check` sees that all is well, `come_home` ends it.

    kind: "wall"; "simulated", with a clock that jumps; or "rig", of two cameras at one place. folder: where the node
    keeps what it keeps, if it is there.
    """

    def __init__(self, robot: Robot, kind: str, seed: int, folder: Path) -> None:
        self.robot, self.folder, self.random = robot, folder, random.Random(seed)
        self.process: subprocess.Popen | None = None
        self.clock = robot.create_publisher(Clock, "/clock", 10) if kind == "simulated" else None
        cameras = {name: default_camera(name) for name in ("front", "left")} if kind == "rig" else {}
        self.settings = {name: (f, default) for name, f, default in all_fields(Parameters(named_cameras=cameras))}
        self.given = GIVEN | {"contribute_path": str(folder / "kept"), "save_pose_path": str(folder / "pose.json")}
        self.given |= RIG if kind == "rig" else {"mask_topic": "mask"}
        self.start_with = {"use_sim_time": kind == "simulated"} | (
            {"cameras": "[front, left]"} if kind == "rig" else {}
        )
        self.second = robot.create_publisher(Image, "left/image", qos_profile_sensor_data) if kind == "rig" else None
        self.ahead_ns = 0  # of simulated time, of that of the machine
        self.done: Counter[str] = Counter()
        self.last: deque[str] = deque(maxlen=REMEMBERED)
        self.place = PLACES[0]
        self.shown: dict[int, set[int]] = {}  # by stamp [ns]: what images of that stamp show
        self.masks = robot.create_publisher(Image, "mask", qos_profile_sensor_data)
        self.fixes = robot.create_publisher(NavSatFix, "fix", qos_profile_sensor_data)
        self.transforms = robot.create_publisher(TFMessage, "/tf", 100)
        self.clients: dict = {}
        self.waiting: list = []
        self.actions: dict[str, Callable[[], None]] = dict(self.list_actions())

    def now_ns(self) -> int:
        return self.robot.now_ns() + self.ahead_ns

    def tell_time(self) -> None:
        if self.clock:
            self.clock.publish(Clock(clock=time_msg(self.now_ns())))

    def send_clock(self) -> None:
        """Time jumps to and fro, where it is simulated."""
        if self.clock:
            self.ahead_ns = int(self.random.choice([0, -1e6, -1e8, 1e8, -1e9, -1e10, 1e10, 1e13, -1e13]))

    @property
    def arguments(self) -> list[str]:
        """What the node is started with."""
        given = {name: str(value).lower() for name, value in self.start_with.items()} | self.given
        return ["--ros-args", *(word for name, value in given.items() for word in ("-p", f"{name}:={value}"))]

    def list_actions(self) -> Iterator[tuple[str, Callable[[], None]]]:
        for name in dir(self):
            if name.startswith(("send_", "ask_", "set_")):
                yield name, getattr(self, name)

    def step(self) -> None:
        name = "send_good" if self.random.random() < 0.35 else self.random.choice(list(self.actions))
        self.done[name] += 1
        self.last.append(name)
        self.tell_time()
        self.actions[name]()
        self.robot.for_a_while(self.random.choice([0.0, 0.01, 0.05]))

    # ---- what must hold

    def check(self) -> None:
        told = f"after {list(self.last)}"
        assert self.process and self.process.poll() is None, told
        for pose in self.robot.poses:
            seen = self.shown.get(pose_time_ns(pose))
            assert seen, f"a pose of an image that was never sent, {told}"
            assert any(is_same(rigid_from_msg(pose.pose.pose), where) for where in bases_in_map(seen)), told
            covariance = np.array(pose.pose.covariance).reshape(6, 6)
            assert np.isfinite(covariance).all() and np.linalg.eigvalsh(covariance)[0] > 0, told
        for _, transform in self.robot.transforms:
            if transform.child_frame_id != "odom":
                continue  # its own
            base = rigid_from_msg(transform.transform) * ODOM_FROM_BASE  # the robot stands
            assert any(is_same(base, where) for where in bases_in_map(PLACES)), (transform, told)
        self.robot.poses.clear()
        self.robot.transforms.clear()
        self.robot.plain_poses.clear()
        self.robot.paths.clear()
        threads = {k: v for k, v in self.robot.status.items() if k.startswith("thread.")}
        for value in threads.values():
            assert value.startswith("running") and ("failures" not in value or value.endswith(KNOWN_FAILURES)), value
        assert self.robot.largest_diagnostic < LARGEST_DIAGNOSTIC, told

    def measure(self) -> str:
        """Resident memory, threads and open files of the node."""
        assert self.process is not None
        system = Path(f"/proc/{self.process.pid}")
        pages, (threads, files) = (
            (system / "statm").read_text().split()[1],
            (len(os.listdir(system / d)) for d in ("task", "fd")),
        )
        return f"{int(pages) * os.sysconf('SC_PAGE_SIZE') / 2**20:.1f} MiB, {threads} threads, {files} files"

    def settle(self) -> None:
        """Wait until everything that was asked is answered."""
        told = f"no answer after {list(self.last)}"
        end_s = time.monotonic() + ANSWER_LIMIT_S
        while any(not future.done() for _, future in self.waiting):
            self.tell_time()
            names = [name for name, future in self.waiting if not future.done()]
            assert time.monotonic() < end_s, (names, told)
            assert self.process and self.process.poll() is None, told
            self.robot.for_a_while(0.02)
        self.waiting.clear()

    def come_home(self) -> None:
        """From wherever it is the node becomes active with its defaults, and finds the robot."""
        self.settle()
        state = self.robot.state()
        down = {"active": ["deactivate", "cleanup"], "inactive": ["cleanup"]}.get(state, [])
        for name in down:
            assert self.robot.change_state(name), name
        self.restore_folder()
        usual = {name: default for name, (_, default) in self.settings.items() if name != "cameras"} | self.given
        assert self.robot.set_parameters(**{name.replace(".", "__"): value for name, value in usual.items()}) == ""
        for name in ("configure", "activate"):
            assert self.robot.change_state(name), name
        self.robot.poses.clear()
        self.robot.outcomes.clear()
        self.see(PLACES[0])
        self.check()

    def see(self, place: int) -> None:
        def look() -> None:
            self.tell_time()
            self.send_good()
            self.robot.for_a_while(0.1)

        self.place = place
        self.robot.until(lambda: self.robot.poses or look())

    # ---- messages

    def image(self, time_ns: int, brightness: int, **fields) -> Image:
        msg = Image(width=64, height=48, encoding="mono8", step=64, data=bytes([brightness]) * 64 * 48)
        msg.header.frame_id, msg.header.stamp = "camera", time_msg(time_ns)
        for name, value in fields.items():
            setattr(msg, name, value)
        return msg

    def send_good(self) -> None:
        """An image with all that belongs to it."""
        time_ns = self.now_ns()
        self.robot.send_info()
        self.robot.send_odometry(time_ns - 20_000_000)
        self.show(time_ns, self.place)
        self.robot.send_odometry(time_ns + 20_000_000)
        if self.random.random() < 0.7:
            self.masks.publish(self.image(time_ns, 255))

    def show(self, time_ns: int, brightness: int) -> None:
        self.shown.setdefault(time_ns, set()).add(brightness)
        self.robot.images.publish(self.image(time_ns, brightness))
        if self.second:
            time_ns += self.random.choice([0, 0, 0, 1_000_000, -30_000_000, 10**9, -(10**9)])
            self.shown.setdefault(time_ns, set()).add(brightness)
            self.second.publish(self.image(time_ns, brightness))

    def send_another_place(self) -> None:
        self.place = self.random.choice(PLACES)

    def send_twins(self) -> None:
        """Two images of one stamp that show different places."""
        time_ns = self.now_ns()
        for brightness in self.random.sample(PLACES, 2):
            self.show(time_ns, brightness)

    def send_old_or_early(self) -> None:
        seconds = self.random.choice([-1e4, -40, -3, -0.5, -0.1, 0.1, 0.5, 3, 40, 1e4])
        self.show(self.now_ns() + int(seconds * 1e9), self.random.choice(PLACES))

    def send_strange_image(self) -> None:
        changes = [
            {"width": 32}, {"height": 0}, {"step": 3}, {"data": b""}, {"encoding": self.random.choice(ODD_TEXTS[:3])},
            {"encoding": "rgb8"}, {"encoding": "32FC1"}, {"is_bigendian": 1}, {"width": 2**32 - 1, "height": 2**32 - 1},
        ]  # fmt: skip
        time_ns = self.now_ns()
        change = self.random.choice(changes)
        self.shown.setdefault(time_ns, set()).add(self.place)
        self.robot.images.publish(self.image(time_ns, self.place, **change))

    def send_white_and_black(self) -> None:
        for brightness in (0, 255):
            self.robot.images.publish(self.image(self.now_ns(), brightness))

    def damage(self, msg) -> bytes:
        data = bytearray(serialize_message(msg))
        for _ in range(self.random.randint(0, 4)):
            data[self.random.randrange(min(len(data), 100))] = self.random.randrange(256)
        return bytes(data[: self.random.choice([len(data), self.random.randrange(len(data))])])

    def send_damaged(self) -> None:
        """Bytes that nearly are a message. Images are black, so that none of them has a pose."""
        time_ns = self.now_ns()
        topics = [
            (self.robot.images, self.image(time_ns, 0)),
            (self.masks, self.image(time_ns, 255)),
            (self.robot.infos, CameraInfo(d=[0.0] * 5)),
            (self.fixes, NavSatFix()),
            (self.robot.initial_poses, PoseWithCovarianceStamped()),
        ]
        topic, msg = self.random.choice(topics)
        topic.publish(self.damage(msg))

    def send_masks(self) -> None:
        """A mask that does not fit an image that does."""
        time_ns = self.now_ns()
        changes = [
            {}, {"width": 32}, {"encoding": "rgb8"}, {"encoding": "mono16"}, {"encoding": "32FC1"}, {"data": b""},
            {"height": 2**32 - 1, "width": 2**32 - 1}, {"encoding": "x" * 1000}, {"height": 0, "width": 0},
        ]  # fmt: skip
        mask = self.image(time_ns, self.random.choice([0, 127, 255]), **self.random.choice(changes))
        if self.random.random() < 0.5:
            mask.header.stamp = time_msg(max(time_ns + self.random.choice([-(10**9), 1, 10**9]), 0))
        for _ in range(self.random.choice([1, 1, 30])):
            self.masks.publish(mask)
        self.show(time_ns, self.place)

    def send_info(self) -> None:
        msg = CameraInfo(width=64, height=48, distortion_model="plumb_bob", d=[0.0] * 5)
        msg.k = [60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0]
        msg.header.frame_id = self.random.choice(["camera", "/camera", "", "other", "x" * 3000])
        change = self.random.choice(
            [{"width": 32}, {"width": 0}, {"distortion_model": "fisheye"}, {"d": [math.nan] * 5}, {"binning_x": 2}]
        )
        for name, value in change.items():
            setattr(msg, name, value)
        self.robot.infos.publish(msg)

    def send_transform(self) -> None:
        """Odometry that is none: of no time, of other frames, of no numbers. Good one comes with each image."""
        msg = transform_msg(ODOM_FROM_BASE, max(self.now_ns(), 0), "odom", "base_link")
        self.random.choice([self.break_stamp, self.break_frames, self.break_numbers])(msg)
        self.transforms.publish(TFMessage(transforms=[msg]))

    def break_stamp(self, msg: TransformStamped) -> None:
        msg.header.stamp.sec = self.random.choice([0, -1, -(2**31), 2**31 - 1, msg.header.stamp.sec + 5])

    def break_frames(self, msg: TransformStamped) -> None:
        names = ["odom", "base_link", "map", "camera", "other", "", "/odom", "x" * 300]
        msg.header.frame_id, msg.child_frame_id = self.random.choice(names), self.random.choice(["leaf", "", "x" * 300])

    def break_numbers(self, msg: TransformStamped) -> None:
        part, name = self.random.choice([("translation", "x"), ("rotation", "w")])
        setattr(getattr(msg.transform, part), name, self.random.choice(ODD_FLOATS[:5]))

    def send_folder_away(self) -> None:
        """What the node writes to vanishes, or is no folder any more."""
        self.restore_folder()
        if self.random.random() < 0.7:
            shutil.rmtree(self.folder)
        if self.random.random() < 0.5 and not self.folder.exists():
            self.folder.write_text("no folder")

    def restore_folder(self) -> None:
        if self.folder.is_file():
            self.folder.unlink()
        self.folder.mkdir(exist_ok=True)

    def send_fix(self) -> None:
        msg = NavSatFix(latitude=self.odd(48.0), longitude=self.odd(11.0), altitude=self.odd(500.0))
        msg.header.stamp = time_msg(max(self.now_ns() + self.random.choice([0, -(10**9), 10**12]), 0))
        msg.status.status = self.random.choice([-2, -1, 0, 2])
        msg.position_covariance = [self.odd(1.0) for _ in range(9)]
        msg.position_covariance_type = self.random.choice([0, 1, 2, 3, 255])
        self.fixes.publish(msg)

    def odd(self, usual: float) -> float:
        return self.random.choice([usual, usual, usual, *ODD_FLOATS])

    def initial_pose(self) -> PoseWithCovarianceStamped:
        msg = PoseWithCovarianceStamped()
        msg.header.frame_id = self.random.choice(["map", "map", "map", "/map", "odom", "", "x" * 3000])
        time_ns = self.now_ns() + self.random.choice([0, 0, -(10**9), 10**9, -(10**11), 10**11])
        msg.header.stamp = time_msg(self.random.choice([time_ns, time_ns, 0]))
        p, q = msg.pose.pose.position, msg.pose.pose.orientation
        p.x, p.y, p.z = self.odd(1.0), self.odd(1.0), self.odd(0.0)
        q.x, q.y, q.z, q.w = 0.0, 0.0, 0.0, self.random.choice([1.0, 1.0, 1.0, 0.0, math.nan, 2.0, -1.0])
        diagonal = np.diag([self.odd(0.25) for _ in range(6)])
        if self.random.random() < 0.3:
            diagonal[0, 1] = self.odd(0.1)
        msg.pose.covariance = diagonal.ravel()
        return msg

    def send_initial_poses(self) -> None:
        for _ in range(self.random.choice([1, 1, 20])):
            self.robot.initial_poses.publish(self.initial_pose())

    # ---- services; the walk goes on while they work

    def ask(self, kind: type, name: str, request=None) -> None:
        if name not in self.clients:
            self.clients[name] = self.robot.create_client(kind, name, qos_profile=QoSProfile(depth=2000))
        client = self.clients[name]
        if client.service_is_ready():  # some exist while the node is configured only
            self.waiting.append((name, client.call_async(request or kind.Request())))
        if name in CONFIGURED_ONLY:  # an answer may be lost when a service ends; that is ROS
            self.waiting = [one for one in self.waiting if one[0] != name]
        if not self.last or self.last[-1] != name:
            self.last.append(name)

    def ask_trigger(self) -> None:
        for _ in range(self.random.choice([1, 1, 40])):
            self.ask(Trigger, "/deviloc/trigger_localization")

    def ask_enable(self) -> None:
        self.ask(SetBool, "/deviloc/enable", SetBool.Request(data=self.random.random() < 0.7))

    def ask_forget(self) -> None:
        self.ask(Empty, "/reinitialize_global_localization")

    def ask_what_there_is(self) -> None:
        kinds = (GetState, "get_state"), (GetAvailableStates, "get_available_states"), (
            GetAvailableTransitions, "get_available_transitions"), (ListParameters, "list_parameters")  # fmt: skip
        kind, name = self.random.choice(kinds)
        self.ask(kind, f"/deviloc/{name}")

    def ask_for_parameters(self) -> None:
        names = self.random.sample([*self.settings, *ODD_TEXTS], 3)
        kind, name = self.random.choice([(GetParameters, "get"), (DescribeParameters, "describe")])
        self.ask(kind, f"/deviloc/{name}_parameters", kind.Request(names=names))

    def ask_for_another_state(self) -> None:
        for name in self.random.choice([UP, UP, (*DOWN, *UP), *((name,) for name in (*UP, *DOWN))]):
            self.ask(
                ChangeState, "/deviloc/change_state", ChangeState.Request(transition=Transition(id=TRANSITIONS[name]))
            )

    def ask_for_no_state(self) -> None:
        odd = Transition(id=self.random.choice([0, 9, 60, 61, 62, 100, 255]), label=self.random.choice(ODD_TEXTS[:3]))
        self.ask(ChangeState, "/deviloc/change_state", ChangeState.Request(transition=odd))

    # ---- parameters

    def set_possible(self) -> None:
        """Values within their bounds, alone or several at once."""
        live = [name for name, (f, _) in self.settings.items() if is_live(f) and name not in UNUSUAL]
        names = self.random.sample(live, self.random.choice([1, 1, 5]))
        self.change_all({name: self.possible(name) for name in names})

    def possible(self, name: str):
        f, default = self.settings[name]
        if isinstance(default, bool):
            return self.random.random() < 0.5
        if isinstance(default, str):
            return self.random.choice(f.metadata["choices"] or ("",))
        low, high = f.metadata["low"], f.metadata["high"]
        high = min(high, SLOW.get(name, high))
        drawn = self.random.choice([low, high, default, self.random.uniform(low, min(high, 10 * (default or 1)))])
        return type(default)(min(max(drawn, low), high))

    def set_impossible(self) -> None:
        name = self.random.choice(list(self.settings))
        _, default = self.settings[name]
        odd = {float: ODD_FLOATS, int: ODD_INTS, str: ODD_TEXTS}.get(type(default), ODD_TEXTS)
        value = self.random.choice(odd)
        if name in SLOW or (name in OF_NODE and isinstance(value, str) and not is_live(self.settings[name][0])):
            return  # possible, but not to be walked with
        self.change_all(
            {name: value, self.random.choice(list(self.settings)): self.random.choice([*ODD_FLOATS, *ODD_TEXTS])}
        )

    def set_of_any_type(self) -> None:
        names = self.random.sample([*self.settings, *ODD_TEXTS, "use_sim_time"], 3)
        kinds = [
            ParameterType.PARAMETER_NOT_SET,
            ParameterType.PARAMETER_BYTE_ARRAY,
            ParameterType.PARAMETER_BOOL_ARRAY,
        ]
        parameters = [ParameterMsg(name=n, value=ParameterValue(type=self.random.choice(kinds))) for n in names]
        self.change(parameters)

    def set_another_map(self) -> None:
        path = self.random.choice(["", "dim", "bright", "dim,bright", "broken", "x" * 3000, "\0", "a,a,a"])
        self.change_all({"map_path": path})

    def change_all(self, values: dict) -> None:
        self.change([Parameter(name, value=value).to_parameter_msg() for name, value in values.items()])

    def change(self, parameters: list[ParameterMsg]) -> None:
        kind, name = self.random.choice(
            [(SetParameters, "set_parameters"), (SetParametersAtomically, "set_parameters_atomically")]
        )
        self.ask(kind, f"/deviloc/{name}", kind.Request(parameters=parameters))
        self.last.append(str([(p.name[:50], Parameter.from_parameter_msg(p).value) for p in parameters])[:300])


KNOWN_FAILURES = "RuntimeError: white", *(f"bytes that are no {kind}" for kind in KINDS)
GIVEN = {"diagnostics_period_s": 0.2, "trigger_timeout_s": 0.5, "gnss_topic": "fix", "save_pose_rate": 20.0}
RIG = {"front.image_topic": "image", "front.camera_info_topic": "camera_info", "front.mask_topic": "mask"}
RIG |= {"left.camera_info_topic": "camera_info"}
CONFIGURED_ONLY = ("/deviloc/enable", "/reinitialize_global_localization")


def bases_in_map(brightnesses: Iterable[int]) -> Iterator[pycolmap.Rigid3d]:
    """Where the robot may be: as it is, and on the plane z = 0, for `two_d_mode`."""
    for brightness in brightnesses:
        fix = Fix(0, cam_from_map(brightness).inverse() * BASE_FROM_CAM.inverse(), np.eye(6))
        yield from (fix.map_from_base, flatten(fix).map_from_base)


def is_same(a: pycolmap.Rigid3d, b: pycolmap.Rigid3d) -> bool:
    return bool(np.allclose(a.matrix(), b.matrix(), atol=1e-6))
