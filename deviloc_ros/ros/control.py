"""Offer the services to enable and to reset the node, and take initial poses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from std_srvs.srv import Empty, SetBool
from tf_transformations import euler_from_quaternion

from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.ros.bounded_counter import shorten
from deviloc_ros.ros.conversions import covariance_from_msg, rigid_from_msg
from deviloc_ros.ros.endpoints import Endpoints
from deviloc_ros.ros.optional_interfaces import SetInitialPose
from deviloc_ros.ros.parameters import Parameters
from deviloc_ros.ros.transforms import MissingTransform, Transforms
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.odometry import Odometry


class Control:
    """Offer the services, and listen to `initialpose`.

    reset: called with the reason to make tracking start anew.
    """

    def __init__(
        self,
        node: LifecycleNode,
        endpoints: Endpoints,
        follower: Follower,
        transforms: Transforms,
        parameters: Parameters,
        reset: Callable[[str], None],
    ) -> None:
        self.enabled = True
        self.parameters = parameters
        self._node = node
        self._log = node.get_logger()
        self._follower = follower
        self._transforms = transforms
        self._reset = reset
        endpoints.subscribe(PoseWithCovarianceStamped, "initialpose", self._on_initial_pose, QoSProfile(depth=1))
        endpoints.open_service(SetBool, "~/enable", self._on_enable)
        endpoints.open_service(Empty, "reinitialize_global_localization", self._on_reinitialize)
        if SetInitialPose:
            endpoints.open_service(SetInitialPose, "~/set_initial_pose", self._on_set_initial_pose)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self.enabled = request.data
        response.success, response.message = True, "enabled" if request.data else "disabled"
        return response

    def _on_reinitialize(self, request: Empty.Request, response: Empty.Response) -> Empty.Response:
        self._reset("reinitialize_global_localization was called")
        return response

    def _on_initial_pose(self, msg: PoseWithCovarianceStamped) -> None:
        """Search near a pose that was given. It is not published; the pose of the first image that agrees is."""
        map_frame = self.parameters.node.map_frame
        try:
            if msg.header.frame_id.removeprefix("/") != map_frame:
                raise ValueError(f"its frame {shorten(msg.header.frame_id)!r} is not {map_frame!r}")
            map_from_base, covariance = rigid_from_msg(msg.pose.pose), covariance_from_msg(msg)
            time_ns = self._time_of_guess(msg)
        except ValueError as error:
            self._log.error(f"initialpose refused: {error}")
            return
        self._follower.hint(Fix(time_ns, map_from_base, covariance, self._odometry_near(time_ns)))
        where, yaw = map_from_base.translation.round(2).tolist(), euler_from_quaternion(map_from_base.rotation.quat)[2]
        self._log.info(f"initialpose {where} m, yaw {math.degrees(yaw):.0f} deg, waiting for an image that agrees")

    def _on_set_initial_pose(self, request: Any, response: Any) -> Any:
        """Do the same as a service; its response cannot refuse, so a refusal is only logged."""
        self._on_initial_pose(request.pose)
        return response

    def _time_of_guess(self, msg: PoseWithCovarianceStamped) -> int:
        """Return the stamp [ns], or now without one. Raises ValueError if the pose would be too old at once."""
        now_ns, limit_s = self._node.get_clock().now().nanoseconds, self.parameters.tracking.lost_after_s
        time_ns = stamp_ns(msg) or now_ns
        if time_ns == 0:
            raise ValueError("it has no stamp, and with use_sim_time nobody knows the time before the first /clock")
        age_s = (now_ns - time_ns) * 1e-9
        if abs(age_s) > limit_s:
            ago = f"{age_s:.1f} s old" if age_s > 0 else f"{-age_s:.1f} s in the future"
            raise ValueError(f"it is {ago}, more than tracking.lost_after_s (does use_sim_time differ?)")
        return time_ns

    def _odometry_near(self, time_ns: int) -> Odometry | None:
        """Return the odometry at a time, or the newest if there is none yet, as for a pose given just now."""
        if not self.parameters.node.uses_odometry:
            return None
        found = self._transforms.odometry(time_ns, None)
        return self._transforms.latest_odometry(time_ns) if isinstance(found, MissingTransform) else found
