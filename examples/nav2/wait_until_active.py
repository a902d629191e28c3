"""Waits until the robot knows its place and Nav2 is active, then drives to a pose.

python3 examples/nav2/wait_until_active.py 2.0 1.0
"""

import sys

import rclpy
from geometry_msgs.msg import PoseStamped
from nav2_simple_commander.robot_navigator import BasicNavigator


def main(x: float, y: float) -> None:
    """Drive to (x, y) in the map, looking along its x axis."""
    rclpy.init()
    navigator = BasicNavigator()
    navigator.waitUntilNav2Active(localizer="deviloc")  # it asks for the lifecycle state of the node of this name
    goal = PoseStamped()
    goal.header.frame_id, goal.header.stamp = "map", navigator.get_clock().now().to_msg()
    goal.pose.position.x, goal.pose.position.y, goal.pose.orientation.w = x, y, 1.0
    navigator.goToPose(goal)
    while not navigator.isTaskComplete():
        pass
    print(navigator.getResult())


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
