"""The tree of frames, remembered for a while, and the questions one asks of it."""

import math
import threading
import time as wall_time
from collections.abc import Container, Iterator

from builtin_interfaces.msg import Time as TimeMsg
from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from tf2_msgs.srv import FrameGraph

from tf2_ros.algebra import IDENTITY, Transform, compose, inverse, normalized
from tf2_ros.exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from tf2_ros.time_cache import Sample, StaticCache, TimeCache, seconds

DEFAULT_CACHE_TIME = Duration(seconds=10.0)
QUATERNION_TOLERANCE = 1e-2  # of the squared length, as in tf2
SHORTEST_SPAN_NS = 100_000  # over which a rate is told
POLL_S = 0.02
LOG = get_logger("tf2_buffer")


class Buffer:
    """Thread-safe store of transforms with interpolation in time.

    With a node, its clock is watched, and moving frames are forgotten when that clock jumps back (a bag that starts
    over). Static transforms survive. The node offers the service `tf2_frames`, `self.srv`, as long as it lives.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None):
        self._cache_ns = (cache_time or DEFAULT_CACHE_TIME).nanoseconds
        self._caches: dict[str, TimeCache | StaticCache] = {}  # by child frame
        self._frames: set[str] = set()
        self._authorities: dict[str, str] = {}
        self._waiters: list[tuple[str, str, Time, Future]] = []
        self._lock = threading.RLock()
        clock = node.get_clock() if node is not None else Clock()
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True)
        self._jump_handle = clock.create_jump_callback(threshold, post_callback=self._on_time_jump)
        if node is not None:
            self.srv = node.create_service(FrameGraph, "tf2_frames", self._on_frames_asked)

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Add one sample of a moving frame. What is malformed or too old is left out with a line in the log."""
        self._set(transform, authority, static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that holds at all times. What is malformed is left out with a line in the log."""
        self._set(transform, authority, static=True)

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
    ) -> int | tuple[int, str]:
        """1 or 0: whether `lookup_transform` would answer within `timeout`; with the reason if asked for a tuple."""
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
            if target_frame != source_frame:  # a frame in itself needs not be known
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
        return Time(nanoseconds=latest_ns)  # of the system's clock, as tf2's

    def clear(self) -> None:
        """Forget where moving frames were. Static transforms and the names of all frames stay."""
        with self._lock:
            for cache in self._caches.values():
                cache.clear()

    def all_frames_as_string(self) -> str:
        """A line a frame: its name and that of its parent."""
        with self._lock:
            return "".join(
                f"Frame {child} exists with parent {cache.latest.parent if cache.latest else 'NO_PARENT'}.\n"
                for child, cache in self._caches.items()
            )

    def all_frames_as_yaml(self) -> str:
        """Parent, broadcaster, rate and times of each frame, as YAML."""
        with self._lock:
            frames = {child: cache for child, cache in self._caches.items() if cache.latest is not None}
            listing = [yaml_of(child, cache, self._authorities[child]) for child, cache in frames.items()]
        return "".join(listing) or "[]"

    def _set(self, msg: TransformStamped, authority: str, static: bool) -> None:
        parent, child = msg.header.frame_id.removeprefix("/"), msg.child_frame_id.removeprefix("/")
        if problems := list(problems_of(msg, parent, child)):
            for problem in problems:
                LOG.error(f"{problem}: ignoring transform {parent!r} <- {child!r} from authority {authority!r}")
            return
        sample = Sample(Time.from_msg(msg.header.stamp).nanoseconds, parent, transform_from_msg(msg))
        with self._lock:
            inserted = self._cache_for(child, static).insert(sample)
            self._frames |= {parent, child}
            self._authorities[child] = authority
        if not inserted:
            LOG.warning(f"TF_OLD_DATA: ignoring data from the past for frame {child} at {seconds(sample.stamp_ns)}")
        self._wake_waiters()

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
        """target_from_source, by the frame where the way up from the source ends, or before if the target is on it."""
        if target == source:
            return IDENTITY
        from_source, source_end = self._climb(source, target, time_ns)
        if target in from_source:
            return from_source[target]
        top = next(reversed(from_source))
        from_target, target_end = self._climb(target, top, time_ns, source)
        if source in from_target:
            return inverse(from_target[source])
        if top in from_target:
            return compose(inverse(from_target[top]), from_source[top])
        question = f"when looking up transform from frame [{source}] to frame [{target}]"
        if out_of_reach := target_end or source_end:
            raise ExtrapolationException(f"{out_of_reach}, {question}")
        raise ConnectivityException(f"{self._no_connection(target, source)}, {question}")

    def _climb(
        self, start: str, end: str, time_ns: int, other_end: str = ""
    ) -> tuple[dict[str, Transform], ExtrapolationException | None]:
        """`ancestor_from_start` of a frame and its ancestors up to an end, nearest first, and why it ended before.

        Raises:
            LookupException: the way goes round in a circle that no end lies on.
        """
        chain, frame = {start: IDENTITY}, start
        while frame not in (end, other_end) and (cache := self._caches.get(frame)) is not None:
            try:
                sample = cache.at(time_ns)
            except ExtrapolationException as error:
                return chain, error
            self._check_no_loop(sample.parent, chain)
            chain[sample.parent] = compose(sample.parent_from_child, chain[frame])
            frame = sample.parent
        return chain, None

    def _latest_common_ns(self, target: str, source: str) -> int:
        """The oldest of the latest stamps between two frames, as they hang together now; 0 if nothing there moves.

        Raises:
            ConnectivityException, LookupException: they do not hang together; there is a loop.
        """
        if target == source:
            cache = self._caches.get(source)
            return cache.latest.stamp_ns if cache is not None and cache.latest is not None else 0
        from_source, from_target = self._latest_stamps(source, target), self._latest_stamps(target, source)
        common = next((frame for frame in from_target if frame in from_source), None)
        if common is None:
            raise ConnectivityException(self._no_connection(target, source))
        stamps_ns = [stamp_ns for way in (from_source, from_target) for stamp_ns in stamps_before(way, common)]
        return min((stamp_ns for stamp_ns in stamps_ns if stamp_ns), default=0)

    def _latest_stamps(self, start: str, end: str) -> dict[str, int]:
        """Frames from one up to an end or a root, as they hang now, each with the stamp of the way up to its parent."""
        way, frame = {}, start
        while frame != end and (cache := self._caches.get(frame)) is not None and (sample := cache.latest) is not None:
            way[frame] = sample.stamp_ns
            self._check_no_loop(sample.parent, way)
            frame = sample.parent
        return way | {frame: 0}

    def _check_no_loop(self, frame: str, way: Container[str]) -> None:
        if frame in way:
            raise LookupException(f"The tf tree is invalid because it contains a loop.\n{self.all_frames_as_string()}")

    def _no_connection(self, target: str, source: str) -> str:
        return (
            f"Could not find a connection between '{target}' and '{source}' because they are not part of the same tree."
            "Tf has two or more unconnected trees."
        )

    def _try(self, target_frame: str, source_frame: str, time: Time) -> tuple[int, str]:
        try:
            self.lookup_transform_core(target_frame, source_frame, time)
        except TransformException as error:
            return 0, str(error)
        return 1, ""

    def _wake_waiters(self) -> None:
        with self._lock:
            ready = [waiter for waiter in self._waiters if self._try(*waiter[:3])[0]]
            self._waiters = [waiter for waiter in self._waiters if waiter not in ready and not waiter[3].cancelled()]
        for *_, future in ready:  # outside the lock: a done callback may well ask the buffer
            future.set_result(True)

    def _on_frames_asked(self, request: FrameGraph.Request, response: FrameGraph.Response) -> FrameGraph.Response:
        response.frame_yaml = self.all_frames_as_yaml()
        return response

    def _on_time_jump(self, jump: TimeJump) -> None:
        self.clear()


def stamps_before(way: dict[str, int], end: str) -> Iterator[int]:
    """Stamps of the frames of a way before one of them."""
    for frame, stamp_ns in way.items():
        if frame == end:
            return
        yield stamp_ns


def problems_of(msg: TransformStamped, parent: str, child: str) -> Iterator[str]:
    """What makes a transform none, by the names that tf2 has for it."""
    if parent == child:
        yield "TF_SELF_TRANSFORM"
    if not child:
        yield "TF_NO_CHILD_FRAME_ID"
    if not parent:
        yield "TF_NO_FRAME_ID"
    translation, rotation = msg.transform.translation, msg.transform.rotation
    quaternion = (rotation.x, rotation.y, rotation.z, rotation.w)
    if any(math.isnan(value) for value in (translation.x, translation.y, translation.z, *quaternion)):
        yield "TF_NAN_INPUT"
    if not abs(sum(value * value for value in quaternion) - 1.0) < QUATERNION_TOLERANCE:
        yield "TF_DENORMALIZED_QUATERNION"


def yaml_of(child: str, cache: TimeCache | StaticCache, authority: str) -> str:
    """One frame's entry."""
    latest_ns, oldest_ns = cache.latest.stamp_ns, cache.oldest_ns
    rate = len(cache) * 1e9 / max(latest_ns - oldest_ns, SHORTEST_SPAN_NS)
    return (
        f"{child}: \n"
        f"  parent: '{cache.latest.parent}'\n"
        f"  broadcaster: '{authority}'\n"
        f"  rate: {rate:.3f}\n"
        f"  most_recent_transform: {seconds(latest_ns)}\n"
        f"  oldest_transform: {seconds(oldest_ns)}\n"
        f"  buffer_length: {(latest_ns - oldest_ns) * 1e-9:.3f}\n"
    )


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
