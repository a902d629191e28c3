"""The tree of frames, remembered for a while, and the questions one asks of it."""

import math
import threading
import time as wall_time

from builtin_interfaces.msg import Time as TimeMsg
from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time

from tf2_ros.algebra import IDENTITY, Transform, compose, inverse, normalized
from tf2_ros.exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from tf2_ros.time_cache import Sample, StaticCache, TimeCache

DEFAULT_CACHE_TIME = Duration(seconds=10.0)
QUATERNION_TOLERANCE = 1e-2  # of the squared length, as in tf2
LONGEST_CHAIN = 1000  # a longer one is a loop
POLL_S = 0.02


class Buffer:
    """Thread-safe store of transforms with interpolation in time.

    With a node, its clock is watched, and moving frames are forgotten when that clock jumps back (a bag that starts
    over). Static transforms survive.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None):
        self._cache_ns = (cache_time or DEFAULT_CACHE_TIME).nanoseconds
        self._caches: dict[str, TimeCache | StaticCache] = {}  # by child frame
        self._frames: set[str] = set()
        self._waiters: list[tuple[str, str, Time, Future]] = []
        self._lock = threading.RLock()
        clock = node.get_clock() if node is not None else Clock()
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jump_handle = clock.create_jump_callback(threshold, post_callback=self._on_time_jump)

    def set_transform(self, transform: TransformStamped, authority: str = "default_authority") -> bool:
        """Add one sample of a moving frame; False if it is malformed, too old, or a repetition."""
        return self._set(transform, static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str = "default_authority") -> bool:
        """Add a transform that holds at all times; False if it is malformed."""
        return self._set(transform, static=True)

    def lookup_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = Duration(),  # noqa: B008
    ) -> TransformStamped:
        """`target_from_source` at a time; time zero is the latest at which the whole chain is known.

        A timeout above zero waits (wall time) for the transform. Never do that in a callback of a single-threaded
        executor: the transform cannot arrive meanwhile.

        Raises:
            LookupException, ConnectivityException, ExtrapolationException, InvalidArgumentException.
        """
        self.can_transform(target_frame, source_frame, time, timeout)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = Duration(),  # noqa: B008
    ) -> TransformStamped:
        """`target_from_source` between two times, through a frame that stands still meanwhile."""
        target_from_fixed = self.lookup_transform(target_frame, fixed_frame, target_time, timeout)
        fixed_from_source = self.lookup_transform(fixed_frame, source_frame, source_time, timeout)
        result = compose(transform_from_msg(target_from_fixed), transform_from_msg(fixed_from_source))
        return transform_to_msg(result, target_frame, source_frame, target_from_fixed.header.stamp)

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = Duration(),  # noqa: B008
        return_debug_tuple: bool = False,
    ) -> bool | tuple[bool, str]:
        """Whether `lookup_transform` would answer, waiting up to `timeout`; with the reason if asked for a tuple."""
        deadline_s = wall_time.monotonic() + timeout.nanoseconds * 1e-9
        possible, reason = self._try(target_frame, source_frame, time)
        while not possible and wall_time.monotonic() < deadline_s:
            wall_time.sleep(POLL_S)
            possible, reason = self._try(target_frame, source_frame, time)
        return (possible, reason) if return_debug_tuple else possible

    def wait_for_transform_async(self, target_frame: str, source_frame: str, time: Time) -> Future:
        """A future that is done, with result True, once the transform can be looked up."""
        future = Future()
        with self._lock:
            self._waiters.append((target_frame, source_frame, time, future))
        self._wake_waiters()
        return future

    async def lookup_transform_async(self, target_frame: str, source_frame: str, time: Time) -> TransformStamped:
        """`lookup_transform` once it is possible, for coroutines."""
        await self.wait_for_transform_async(target_frame, source_frame, time)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_core(self, target_frame: str, source_frame: str, time: Time) -> TransformStamped:
        """`lookup_transform` without waiting."""
        with self._lock:
            self._check_frame("target_frame", target_frame)
            self._check_frame("source_frame", source_frame)
            time_ns = time.nanoseconds or self._latest_common_ns(target_frame, source_frame)
            target_from_source = self._chain(target_frame, source_frame, time_ns)
        stamp = Time(nanoseconds=time_ns).to_msg()
        return transform_to_msg(target_from_source, target_frame, source_frame, stamp)

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """The time that time zero stands for; zero itself if the chain is static."""
        with self._lock:
            self._check_frame("target_frame", target_frame)
            self._check_frame("source_frame", source_frame)
            latest_ns = self._latest_common_ns(target_frame, source_frame)
        return Time(nanoseconds=latest_ns, clock_type=ClockType.ROS_TIME)

    def clear(self) -> None:
        """Forget where moving frames were. Static transforms and the names of all frames stay."""
        with self._lock:
            for cache in self._caches.values():
                cache.clear()

    def _set(self, msg: TransformStamped, static: bool) -> bool:
        parent, child = msg.header.frame_id.removeprefix("/"), msg.child_frame_id.removeprefix("/")
        if not parent or not child or parent == child or not is_rigid(msg):
            return False
        sample = Sample(Time.from_msg(msg.header.stamp).nanoseconds, parent, transform_from_msg(msg))
        with self._lock:
            inserted = self._cache_for(child, static).insert(sample)
            self._frames |= {parent, child}
        self._wake_waiters()
        return inserted

    def _cache_for(self, child: str, static: bool) -> TimeCache | StaticCache:
        kind = StaticCache if static else TimeCache
        if not isinstance(self._caches.get(child), kind):
            self._caches[child] = StaticCache() if static else TimeCache(self._cache_ns)
        return self._caches[child]

    def _check_frame(self, argument: str, frame: str) -> None:
        if not frame or frame.startswith("/"):
            raise InvalidArgumentException(f'{argument} is "{frame}": a frame has a name that starts with no slash')
        if frame not in self._frames:
            raise LookupException(f'"{frame}" passed to lookupTransform argument {argument} does not exist.')

    def _chain(self, target: str, source: str, time_ns: int) -> Transform:
        """target_from_source through their nearest common ancestor."""
        if target == source:
            return IDENTITY
        source_chain, source_end = self._ancestors(source, time_ns)
        target_chain, target_end = self._ancestors(target, time_ns)
        for ancestor, ancestor_from_target in target_chain.items():
            if ancestor in source_chain:
                return compose(inverse(ancestor_from_target), source_chain[ancestor])
        question = f"when looking up transform from frame [{source}] to frame [{target}]"
        if out_of_reach := source_end or target_end:
            raise ExtrapolationException(f"{out_of_reach}, {question}")
        raise ConnectivityException(
            f"Could not find a connection between '{target}' and '{source}' because they are not part of the same "
            f"tree at time {time_ns * 1e-9:.9f}, {question}"
        )

    def _ancestors(self, frame: str, time_ns: int) -> tuple[dict[str, Transform], ExtrapolationException | None]:
        """`ancestor_from_frame` for the frame and each ancestor, nearest first, and why the walk up ended early."""
        chain = {frame: IDENTITY}
        current = frame
        while True:
            try:
                sample = self._sample(current, time_ns)
            except ExtrapolationException as error:
                return chain, error
            if sample is None:
                return chain, None
            if sample.parent in chain or len(chain) > LONGEST_CHAIN:
                raise LookupException(f'The tree of frames has a loop through "{sample.parent}".')
            chain[sample.parent] = compose(sample.parent_from_child, chain[current])
            current = sample.parent

    def _sample(self, frame: str, time_ns: int) -> Sample | None:
        cache = self._caches.get(frame)
        return None if cache is None else cache.at(time_ns)

    def _latest_common_ns(self, target: str, source: str) -> int:
        """The oldest of the latest stamps along the chain, as it hangs together now; 0 if nothing in it moves."""
        source_chain, target_chain = (list(self._ancestors(frame, 0)[0]) for frame in (source, target))
        ancestor = next((frame for frame in target_chain if frame in source_chain), None)
        if ancestor is None:
            return 0  # the lookup that follows says that there is no connection
        edges = source_chain[: source_chain.index(ancestor)] + target_chain[: target_chain.index(ancestor)]
        stamps_ns = [self._caches[frame].latest_ns for frame in edges or [target] if frame in self._caches]
        return min((stamp_ns for stamp_ns in stamps_ns if stamp_ns is not None), default=0)

    def _try(self, target_frame: str, source_frame: str, time: Time) -> tuple[bool, str]:
        try:
            self.lookup_transform_core(target_frame, source_frame, time)
        except TransformException as error:
            return False, str(error)
        return True, ""

    def _wake_waiters(self) -> None:
        with self._lock:
            ready = [waiter for waiter in self._waiters if self._try(*waiter[:3])[0]]
            self._waiters = [waiter for waiter in self._waiters if waiter not in ready and not waiter[3].cancelled()]
        for *_, future in ready:  # outside the lock: a done callback may well ask the buffer
            future.set_result(True)

    def _on_time_jump(self, jump: TimeJump) -> None:
        self.clear()


def is_rigid(msg: TransformStamped) -> bool:
    """Whether all numbers are finite and the quaternion has about unit length."""
    translation, rotation = msg.transform.translation, msg.transform.rotation
    squared_length = rotation.x**2 + rotation.y**2 + rotation.z**2 + rotation.w**2
    finite = all(math.isfinite(value) for value in (translation.x, translation.y, translation.z, squared_length))
    return finite and abs(squared_length - 1.0) < QUATERNION_TOLERANCE


def transform_from_msg(msg: TransformStamped) -> Transform:
    t, q = msg.transform.translation, msg.transform.rotation
    return Transform((t.x, t.y, t.z), normalized((q.x, q.y, q.z, q.w)))


def transform_to_msg(transform: Transform, parent: str, child: str, stamp: TimeMsg) -> TransformStamped:
    msg = TransformStamped(child_frame_id=child)
    msg.header.frame_id, msg.header.stamp = parent, stamp
    t, q = msg.transform.translation, msg.transform.rotation
    t.x, t.y, t.z = transform.translation
    q.x, q.y, q.z, q.w = transform.rotation
    return msg
