"""Small recordings of a robot with two cameras that see one brightness each, as `bags_of_others` has them of one."""

import numpy as np
from bags_of_others import CAMERA, START_NS, TRUTH, map_from_base
from worlds import rigid_of

from deviloc_ros.bags.writer import BagWriter

PERIOD_NS, LATER_NS = 100_000_000, 30_000_000
TOPICS = ("/front/image", "/left/image")
# The left camera sits half a metre beside the front one, and so sees what is five brighter.
BASE_FROM_FRONT = rigid_of([0, 0, 0], [0.1, 0.0, 0.2])
MOUNTS = {"front": BASE_FROM_FRONT, "left": BASE_FROM_FRONT * rigid_of([0, 0, 0], [0.5, 0, 0])}
BESIDE = {"front": 0, "left": 5}


def drive_two(path, count: int = 12, dead_from: int = 99, tf: bool = True, odometry: bool = True, wrong: int = 0):
    """A robot that moves 10 cm in 30 ms, between the images of its two cameras, and stands for 70.

    dead_from: number of the first image that the left camera does not send. wrong: how much brighter it sees.
    """
    with BagWriter(path) as bag:
        if tf:
            for name, mount in MOUNTS.items():
                bag.write_transform(START_NS, "base_link", name, mount, static=True)
        for number in range(count):
            start_ns = START_NS + number * PERIOD_NS
            for name, time_ns, place in (("front", start_ns, 10 + number), ("left", start_ns + LATER_NS, 11 + number)):
                if odometry:
                    bag.write_transform(time_ns, "odom", "base_link", map_from_base(place - 10))
                bag.write_pose(TRUTH, time_ns, "map", map_from_base(place))
                bag.write_camera_info(f"/{name}/camera_info", time_ns, name, CAMERA)
                if name == "front" or number < dead_from:
                    brightness = place + BESIDE[name] + (wrong if name == "left" else 0)
                    bag.write_image(f"/{name}/image", time_ns, name, np.full((48, 64), brightness, np.uint8))
    return path
