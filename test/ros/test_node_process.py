"""How the node starts and ends, and what time does to it. Each test has a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ros_helpers import ROOT, python_process, wait_until

pytest.importorskip("rclpy")

from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from ros.robot import pose_time_ns
from ros.stand_in import StandInLocalizer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, NavSatFix
from std_msgs.msg import String

from deviloc_ros.ros.conversions import time_msg
from deviloc_ros.ros.node import main
from deviloc_ros.ros.saved_pose import load_pose
from deviloc_ros.sources.contributions import read_contributions

pytestmark = pytest.mark.ros

STARTUP_LIMIT_S = 90.0  # imports, on a machine that runs other tests as well
NAMESAKE = "1 other node has this node's name"
MOMENTS = [
    pytest.param(moment, marks=[pytest.mark.long] if moment not in (0.5, "localizing") else [])
    for moment in (0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, "localizing")
]
STARTED = """
import runpy, sys
from deviloc_ros.ros.signals import take_signals

take_signals()
print("taken", flush=True)
sys.argv = sys.argv[1:]
sys.path.insert(0, "test")
runpy.run_path(sys.argv[0], run_name="__main__")
"""

STAND_IN = str(ROOT / "test" / "ros" / "stand_in.py")
SHARED_MEMORY = Path("/dev/shm")


def stand_in(*parameters: str):
    return python_process(STAND_IN, "--ros-args", *(word for p in parameters for word in ("-p", p)))


def shared_memory_of(pid: int) -> set[str]:
    """Files in shared memory that a process has open."""
    paths = {line.split()[-1] for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "/dev/shm/fast" in line}
    return {Path(path).name for path in paths}


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_leaves_nothing_behind(robot, sign):
    with stand_in() as process:
        robot.localized(50)
        opened = shared_memory_of(process.pid) - shared_memory_of(os.getpid())
        assert opened
        robot.send_image(50)
        process.send_signal(sign)
        assert process.wait(timeout=10) == 0
    assert not {name for name in opened if (SHARED_MEMORY / name).exists()}


def test_a_signal_before_anything_ran_ends_it_too(robot):
    with stand_in("autostart:=false") as process:
        assert robot.state() == "unconfigured"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_under_a_lifecycle_manager_it_waits_to_be_told(robot):
    with stand_in("autostart:=false", "diagnostics_period_s:=0.2"):
        assert robot.state() == "unconfigured"
        robot.until(lambda: robot.status.get("message") == "unconfigured")
        assert robot.change_state("configure") and robot.state() == "inactive"
        assert robot.change_state("activate")
        robot.localized(50)


def test_the_last_pose_is_searched_first_after_a_restart(robot, tmp_path):
    file = tmp_path / "poses" / "last.json"
    with stand_in(f"save_pose_path:={file}"):
        robot.localized(50)
    assert file.is_file() and [path.name for path in file.parent.iterdir()] == ["last.json"]
    with stand_in(f"save_pose_path:={file}", "diagnostics_period_s:=0.2"):
        robot.until(lambda: robot.status.get("state") == "unlocalized")
        robot.reasons.clear()
        robot.localized(51)
        assert "unconfirmed" not in robot.reasons


def test_the_last_pose_is_kept_while_it_runs(robot, tmp_path):
    file = tmp_path / "last.json"
    with stand_in(f"save_pose_path:={file}", "save_pose_rate:=10.0") as process:
        robot.localized(50)
        robot.until(file.is_file)
        process.kill()  # as when the battery is pulled
        process.wait()
    assert load_pose(file, ["0123456789abcdef"], 5)[1].stamp_ns == 5


def test_publishers_whose_qos_does_not_fit_are_named(robot):
    with stand_in("qos_overrides./image.subscription.reliability:=reliable", "diagnostics_period_s:=0.2"):
        assert robot.images.topic_name == "/image"  # best effort, as cameras are
        robot.until(lambda: "incompatible QoS" in robot.status.get("message", ""))
        assert "RELIABILITY" in robot.status["message"] and robot.status["level"] == "2"
        reliable = robot.create_publisher(Image, "image", 1)
        assert qos_profile_sensor_data.reliability != reliable.qos_profile.reliability
        robot.images = reliable
        robot.localized(50)
        robot.until(lambda: "no image on /image" in robot.status["message"])  # the blame of old is gone
        assert "QoS" not in robot.status["message"]


class Recording:
    """Plays one place over and over, 20 images a second of its own time, with /clock."""

    def __init__(self, robot) -> None:
        self.robot = robot
        self.clock = robot.create_publisher(Clock, "/clock", 10)
        self.seconds = 1000.0

    def tick(self, step_s: float = 0.05) -> int:
        """The new time [ns]."""
        self.seconds += step_s
        time_ns = int(self.seconds * 1e9)
        self.clock.publish(Clock(clock=time_msg(time_ns)))
        self.robot.for_a_while(0.03)
        return time_ns

    def play(self) -> bool:
        """One image more; whether a pose came."""
        time_ns = self.tick()
        self.robot.send_info()
        self.robot.send_odometry(time_ns)
        self.robot.send_image(50, time_ns)
        return bool(self.robot.poses)


def rests(robot) -> bool:
    """Whether no transform comes for a while."""
    robot.transforms.clear()
    robot.for_a_while(0.3)
    return not robot.transforms


def test_when_the_clock_jumps_back_it_starts_anew(robot):
    recording = Recording(robot)
    with stand_in("use_sim_time:=true", "diagnostics_period_s:=0.2"):
        robot.until(recording.play)
        first_ns = pose_time_ns(robot.poses[0])
        robot.until(lambda: robot.status["state"] == "localized")
        recording.tick(-500.0)
        robot.until(lambda: robot.status["state"] == "unlocalized")
        robot.poses.clear()
        robot.until(recording.play)
        assert pose_time_ns(robot.poses[0]) < first_ns - 400e9
        robot.until(lambda: rests(robot))  # time stands still, and so does TF


def test_the_last_pose_is_searched_first_when_simulated_time_starts_late(robot, tmp_path):
    file = tmp_path / "last.json"
    with stand_in(f"save_pose_path:={file}"):
        robot.localized(50)
    recording = Recording(robot)
    with stand_in(f"save_pose_path:={file}", "use_sim_time:=true", "diagnostics_period_s:=0.2"):
        robot.until(lambda: robot.status.get("state") == "unlocalized")
        robot.reasons.clear()
        robot.poses.clear()
        robot.until(recording.play)
        assert "unconfirmed" not in robot.reasons


@pytest.mark.parametrize(
    "arguments",
    [["-p", "tf_mode:=sideways"], ["-p", "mapp_path:=typo"], ["-p", "max_rate_hz:=5"], ["-p", "map_path:=x"]],
)
def test_it_does_not_run_with_what_cannot_work(ros_domain, arguments, capfd):
    def refuse(parameters) -> StandInLocalizer:
        raise ValueError(f"no map at {parameters.node.map_path}")

    assert main(["--ros-args", *arguments], open_maps=refuse) == 1
    said = capfd.readouterr().err
    assert arguments[1].partition(":=")[0] in said or "no map at x" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--params-file", "nowhere.yaml"], "Couldn't parse params file: '--params-file nowhere.yaml'"),
        (["--foo"], "unknown after --ros-args: ['--foo']"),
    ],
)
def test_what_ros_does_not_take_is_one_line(ros_domain, arguments, says, capfd):
    assert main(["--ros-args", *arguments]) == 1
    error = capfd.readouterr().err
    assert says in error and "Traceback" not in error and ".c:" not in error.splitlines()[-1]


def test_two_nodes_of_one_name_say_so_both_and_so_does_the_doctor(robot):
    from deviloc_ros.ros.tools.doctor import examine_names

    # In a namespace of its own: nodes that other tests killed are counted by DDS for a while.
    alone = ("--ros-args", "-r", "__ns:=/twins", "-p", "diagnostics_period_s:=0.2")
    with python_process(STAND_IN, *alone):
        robot.until(lambda: robot.status, STARTUP_LIMIT_S)
        assert "name" not in robot.status["message"]
        with python_process(STAND_IN, *alone):
            messages: list[str] = []
            robot.until(
                lambda: messages.append(robot.status["message"]) or all(NAMESAKE in said for said in messages[-2:]),
                STARTUP_LIMIT_S,
            )
            robot.until(
                lambda: any(
                    "nodes are named /twins/deviloc" in finding.what
                    for finding in examine_names(robot.get_node_names_and_namespaces())
                ),
                STARTUP_LIMIT_S,
            )
        robot.until(lambda: "name" not in robot.status["message"], STARTUP_LIMIT_S)


SIGNALS = [
    [signal.SIGINT],
    pytest.param([signal.SIGTERM], marks=pytest.mark.long),
    [signal.SIGINT] * 5,
    pytest.param([signal.SIGINT, signal.SIGTERM], marks=pytest.mark.long),
    [signal.SIGTERM, signal.SIGINT, signal.SIGTERM],
]


@pytest.mark.parametrize("signs", SIGNALS, ids=lambda signs: "+".join(sign.name for sign in signs))
@pytest.mark.parametrize("moment", MOMENTS)
def test_any_number_of_signals_at_any_moment_ends_it_quietly(robot, tmp_path, moment, signs):
    """Moments: a share of the time that starting takes, from the first statement on; or when it localizes."""
    output = tmp_path / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", STARTED, STAND_IN], stdout=file, stderr=subprocess.STDOUT, cwd=ROOT
        )
        try:
            wait_until(lambda: "taken" in output.read_text(), limit_s=60)
            if moment == "localizing":
                robot.until(lambda: robot.status, limit_s=STARTUP_LIMIT_S)
                robot.localized(50)
            else:
                time.sleep(moment)
            before = len(output.read_text())
            for sign in signs:
                if process.poll() is None:
                    process.send_signal(sign)
                    time.sleep(0.05)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
    noise = [line for line in output.read_text()[before:].splitlines() if "[INFO]" not in line]
    assert noise == []


def test_images_that_the_map_could_use_are_kept(robot, tmp_path):
    with stand_in(f"contribute_path:={tmp_path / 'kept'}", "contribute.spacing_m:=1.0", "diagnostics_period_s:=0.2"):
        robot.localized(50)
        robot.until(lambda: robot.status.get("contributed", "").startswith("1 images"))
    ((entry,), _) = read_contributions(tmp_path / "kept")
    assert entry.map_id == "0123456789abcdef" and entry.cam_from_world.translation[0] == pytest.approx(-5.0)


def test_a_folder_that_cannot_be_written_keeps_it_from_starting(robot, tmp_path):
    (tmp_path / "file").touch()
    with stand_in(f"contribute_path:={tmp_path / 'file'}") as process:
        assert process.wait(timeout=60) == 1


def test_among_several_maps_the_one_the_robot_is_in_is_named(robot):
    """Images of less brightness than 100 are of the map "dim", the others of "bright"."""
    names: list[str] = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.create_subscription(String, "/deviloc/map_name", lambda msg: names.append(msg.data), latched)
    with stand_in("map_path:=dim,bright", "diagnostics_period_s:=0.2"):
        robot.until(lambda: robot.status.get("state") == "unlocalized")
        assert names == []
        robot.localized(50)
        robot.until(lambda: names == ["dim"] and robot.status["map"] == "dim")
        robot.localized(150)
        robot.until(lambda: names == ["dim", "bright"] and robot.status["map"] == "bright")
        assert robot.status["map_id"] == "bright" and robot.status["image_map"] == "bright"
        assert robot.set_parameters(map_path="dim") == ""  # as ~/load_map does: from now on this one alone
        robot.localized(50)
        robot.until(lambda: names[-1] == "dim")


def test_positions_of_a_receiver_are_taken_or_counted_and_a_map_without_a_place_is_said(robot):
    positions = robot.create_publisher(NavSatFix, "/gnss/fix", qos_profile_sensor_data)

    def send(latitude: float) -> None:
        msg = NavSatFix(latitude=latitude, longitude=11.0, position_covariance_type=2)
        msg.status.status = 0
        msg.position_covariance = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        msg.header.stamp = time_msg(robot.now_ns())
        positions.publish(msg)
        robot.for_a_while(0.05)

    with stand_in("gnss_topic:=gnss/fix", "diagnostics_period_s:=0.2"):
        robot.until(lambda: int(robot.status.get("gnss.taken", 0)) > 2 or send(48.0))
        robot.until(lambda: int(robot.status.get("gnss.refused.no_position", 0)) > 2 or send(float("nan")))
        robot.localized(50)
        robot.until(lambda: "no map is aligned to coordinates" in robot.status["message"])
