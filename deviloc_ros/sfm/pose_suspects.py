"""Explain poses that contradict the images by trying suspects: axes, mount, lens, something fixed in view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.optimize import least_squares

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import perturb_pose
from deviloc_ros.sfm.landmarks import epipolar_errors_of_rays_px
from deviloc_ros.sources.base import PosedImage

MAX_PAIRS, MAX_MATCHES = 40, 40  # that are used, since a common change of all images shows in any of them
MENDS = 0.5  # an explanation leaves less than this share of the error
NEARLY_AS_GOOD = 1.3  # times the least error, up to which a simpler explanation is preferred
FOCAL_FACTORS = np.geomspace(0.7, 1.4, 57)
TIME_SHARES = np.array([share for share in np.linspace(-1, 1, 21) if share])
LEAST_MOUNT_DEG, LEAST_MOUNT_UNITS = 0.5, 0.01  # errors of a mount that are worth mentioning
LARGEST_MOUNT = np.array([1.0, 1.0, 1.0, 0.7, 0.7, 0.7])  # [m], [rad]; beyond, a mount would explain anything
FIXED_PX, MOVED_PX = 1.0, 5.0  # shifts below which a match stays, and above which most others move
FIXED_SHARE = 0.2
NEIGHBOURS_FIT = 0.6  # of the error of all pairs, where poses drift
OPENGL = np.diag([1.0, -1.0, -1.0])
BODY = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])  # camera axes (z ahead) of a body's (x ahead)

Change = Callable[[PosedImage], PosedImage]


@dataclass(frozen=True, slots=True, eq=False)
class MatchedPair:
    """Hold two images with their matched pixels, (N, 2) each."""

    a: PosedImage
    b: PosedImage
    pixels_a: NDArray
    pixels_b: NDArray
    apart: int  # in the order of the images
    rays: tuple[NDArray, NDArray] | None = None  # of the pixels, once they were asked for

    def apply_change(self, change: Change) -> MatchedPair:
        """Return the same of changed images; rays, which take long, stay where the cameras do."""
        a, b = change(self.a), change(self.b)
        same_lenses = a.camera is self.a.camera and b.camera is self.b.camera
        return replace(self, a=a, b=b, rays=self.rays if same_lenses else None)

    def with_rays(self) -> MatchedPair:
        """Return the same with the rays of its pixels."""
        return replace(self, rays=(self.a.camera.rays(self.pixels_a), self.b.camera.rays(self.pixels_b)))

    def thin_matches(self) -> MatchedPair:
        """Return the same with a sample of the matches."""
        rows = np.linspace(0, len(self.pixels_a) - 1, min(len(self.pixels_a), MAX_MATCHES)).astype(int)
        return replace(self, pixels_a=self.pixels_a[rows], pixels_b=self.pixels_b[rows])

    def errors_px(self) -> NDArray:
        """Return (N,) distances from the epipolar lines [px]."""
        if self.rays is None:
            return self.with_rays().errors_px()
        return epipolar_errors_of_rays_px(self.a, self.b, *self.rays)

    def shifts_px(self) -> NDArray:
        """Return (N,) how far each point is from where the other image has it [px]."""
        return np.linalg.norm(self.pixels_a - self.pixels_b, axis=1)


@dataclass(frozen=True, slots=True)
class Suspect:
    """Hold an explanation in words, and the error that it leaves [px]."""

    words: str
    left_px: float


def explain_contradiction(pairs: list[MatchedPair], images: list[PosedImage]) -> str:
    """Return the best explanation why poses contradict the images, with advice, or that there is none.

    Args:
        images: all images, in order of the path if they were taken along one.
    """
    some = [pair.thin_matches().with_rays() for pair in pairs[:: max(1, len(pairs) // MAX_PAIRS)]]
    given_px = median_error_px(some)
    found = [s for s in find_suspects(some, images) if s.left_px < MENDS * given_px]
    if found:
        least_px = min(suspect.left_px for suspect in found)
        best = next(s for s in found if s.left_px <= NEARLY_AS_GOOD * least_px)  # they come in order of simplicity
        return f"{best.words} (then {best.left_px:.1f} px)"
    tried = "axes, mount, lens, focal length, time offset and things fixed in view were tried and do not explain it"
    neighbours = [pair for pair in some if pair.apart == 1]
    if neighbours and len(neighbours) < len(some) and median_error_px(neighbours) < NEIGHBOURS_FIT * given_px:
        return f"neighbours fit better ({median_error_px(neighbours):.1f} px), so the poses drift: try --refine-poses"
    return f"{tried}; if the poses drift, try --refine-poses"


def find_suspects(pairs: list[MatchedPair], images: list[PosedImage]) -> Iterator[Suspect]:
    """Yield all explanations with the errors that they leave, the simple ones first."""
    yield from suspect_fixed_in_view(pairs)
    yield from suspect_distortion(pairs)
    yield from suspect_axes(pairs)
    inverse_px = median_error_px([pair.apply_change(invert_pose) for pair in pairs])
    yield Suspect("the poses are the other way round: world in camera where camera in world was declared", inverse_px)
    yield suspect_time_offset(pairs, images)
    yield suspect_focal_length(pairs)
    yield suspect_mount(pairs)


def median_error_px(pairs: list[MatchedPair]) -> float:
    """Return the median of the pairs' median errors; infinite without pairs."""
    return float(np.median([np.median(pair.errors_px()) for pair in pairs])) if pairs else np.inf


def suspect_fixed_in_view(pairs: list[MatchedPair]) -> Iterator[Suspect]:
    """Suspect something that moves with the camera: a part of the robot, a caption, dirt on the lens."""
    shifts_px = [pair.shifts_px() for pair in pairs]
    everywhere = np.concatenate(shifts_px)
    share = float((everywhere < FIXED_PX).mean())
    if (
        share < FIXED_SHARE
        or not np.median(everywhere[everywhere >= FIXED_PX], keepdims=True).max(initial=0) > MOVED_PX
    ):
        return
    others = [
        replace(pair, pixels_a=pair.pixels_a[shifts >= FIXED_PX], pixels_b=pair.pixels_b[shifts >= FIXED_PX], rays=None)
        for pair, shifts in zip(pairs, shifts_px, strict=True)
        if (shifts >= FIXED_PX).any()
    ]
    words = (
        f"{share:.0%} of the matches stay at one place in the image: something in view moves with the camera, mask it"
    )
    yield Suspect(words, median_error_px(others))


def suspect_distortion(pairs: list[MatchedPair]) -> Iterator[Suspect]:
    """Suspect that the images are rectified although their camera has distortion."""
    if any(drop_distortion(pair.a.camera) != pair.a.camera for pair in pairs):
        left_px = median_error_px([pair.apply_change(rectify) for pair in pairs])
        yield Suspect("the images have no distortion, are they rectified? --rectified, or a PINHOLE camera", left_px)


def suspect_axes(pairs: list[MatchedPair]) -> Iterator[Suspect]:
    """Suspect each exchange of all cameras' axes, the usual ones first."""
    for rotation in sorted(axis_rotations(), key=lambda r: not is_usual(r)):
        left_px = median_error_px([pair.apply_change(turn_by(rotation)) for pair in pairs])
        yield Suspect(name_axes(rotation), left_px)


def is_usual(rotation: NDArray) -> bool:
    """Return whether a rotation is between two common conventions."""
    return any(np.allclose(rotation, known) for known in (OPENGL, BODY, BODY.T))


def axis_rotations() -> Iterator[NDArray]:
    """Yield the 23 rotations that move axes onto others."""
    for order, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3)):
        rotation = np.eye(3)[list(order)] * np.array(signs)[:, None]
        if np.linalg.det(rotation) > 0 and not np.allclose(rotation, np.eye(3)):
            yield rotation


def name_axes(rotation: NDArray) -> str:
    """Say what an exchange of axes means, and what to do about it."""
    if np.allclose(rotation, OPENGL):
        return (
            "the cameras' y and z are turned round: OpenCV's axes (z ahead) where OpenGL's (-z ahead) are expected, or "
            "the reverse; for transforms.json give --axes opencv"
        )
    if np.allclose(rotation, BODY) or np.allclose(rotation, BODY.T):
        return "a camera's axes (z ahead) are taken for a body's (x ahead), or the reverse: is it the optical frame?"
    if rotation[2, 2] == 1:
        angle = round(np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0])))
        return f"the images are turned by {angle % 360} degrees against their poses"
    named = ", ".join("-" * int(row.min() < 0) + "xyz"[np.abs(row).argmax()] for row in rotation)
    return f"the cameras' axes are others: their x, y, z are what the poses call {named}"


def suspect_time_offset(pairs: list[MatchedPair], images: list[PosedImage]) -> Suspect:
    """Suspect a time offset: that poses fit best which are interpolated towards the next or the previous image.

    In the other direction they must fit worse than unchanged, since jittering poses get better either way.
    """
    errors_px = np.array([error_at_another_moment_px(pairs, images, share) for share in TIME_SHARES])
    best = int(np.argmin(errors_px))
    if errors_px[::-1][best] < median_error_px(pairs):
        return Suspect("", np.inf)
    beside = "next" if TIME_SHARES[best] > 0 else "previous"
    words = (
        f"the images fit poses {abs(TIME_SHARES[best]):.0%} of the way to the {beside} image: are images and poses of "
        "one clock? For a recording give --time-offset"
    )
    return Suspect(words, float(errors_px[best]))


def error_at_another_moment_px(pairs: list[MatchedPair], images: list[PosedImage], share: float) -> float:
    """Return the median error with poses at another time."""
    shifted = {image.name: image for image in move_to_another_moment(images, share)}
    return median_error_px([pair.apply_change(lambda image: shifted[image.name]) for pair in pairs])


def move_to_another_moment(images: list[PosedImage], share: float) -> Iterator[PosedImage]:
    """Yield images with poses interpolated at a share of the way to the next image, or if negative to the previous."""
    step = 1 if share > 0 else -1
    for place, image in enumerate(images):
        beside = images[min(max(place + step, 0), len(images) - 1)]
        ends = image.cam_from_world.inverse(), beside.cam_from_world.inverse()
        yield replace(image, cam_from_world=pycolmap.Rigid3d.interpolate(*ends, abs(share)).inverse())


def suspect_focal_length(pairs: list[MatchedPair]) -> Suspect:
    """Suspect the focal length, by the factor that fits best."""
    errors_px = [median_error_px([pair.apply_change(scale_by(factor)) for pair in pairs]) for factor in FOCAL_FACTORS]
    best = int(np.argmin(errors_px))
    words = (
        f"the focal length is {FOCAL_FACTORS[best]:.2f} times what the calibration says: is it of this camera and size?"
    )
    return Suspect(words, errors_px[best])


def suspect_mount(pairs: list[MatchedPair]) -> Suspect:
    """Suspect the camera's mount, by the common motion on the robot that fits best."""

    def residuals(motion: NDArray) -> NDArray:
        errors_px = np.concatenate([pair.apply_change(move_by(motion)).errors_px() for pair in pairs])
        return np.concatenate([np.minimum(errors_px, 1e3), 0.1 * motion])

    motion = least_squares(
        residuals, np.zeros(6), loss="soft_l1", max_nfev=30, bounds=(-LARGEST_MOUNT, LARGEST_MOUNT)
    ).x
    if (np.abs(motion) > 0.95 * LARGEST_MOUNT).any():
        return Suspect("", np.inf)
    found = pycolmap.Rigid3d(pycolmap.Rotation3d(motion[3:]), motion[:3])
    angle_deg, shift = np.degrees(found.rotation.angle()), float(np.linalg.norm(found.tgt_origin_in_src()))
    parts = [f"turned by {angle_deg:.1f} deg"] if angle_deg > LEAST_MOUNT_DEG else []
    parts += [f"moved by {shift:.2g} m"] if shift > LEAST_MOUNT_UNITS else []
    words = (
        f"the cameras sit otherwise than said, {' and '.join(parts) or 'a little'}: is the mount right (--extrinsic, "
        "TF), and are the poses those of the frame it starts from?"
    )
    return Suspect(words, median_error_px([pair.apply_change(move_by(motion)) for pair in pairs]))


def invert_pose(image: PosedImage) -> PosedImage:
    """Return an image with its pose inverted."""
    return replace(image, cam_from_world=image.cam_from_world.inverse())


def turn_by(rotation: NDArray) -> Change:
    """Return the function that changes the camera's axes."""
    new_from_cam = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), np.zeros(3))
    return lambda image: replace(image, cam_from_world=new_from_cam * image.cam_from_world)


def move_by(motion: NDArray) -> Change:
    """Return the function that changes the mount by (6,) shift and turn."""
    return lambda image: replace(image, cam_from_world=perturb_pose(motion, image.cam_from_world))


def scale_by(factor: float) -> Change:
    """Return the function that changes the focal length."""
    return lambda image: replace(image, camera=image.camera.scale_focal(factor))


def rectify(image: PosedImage) -> PosedImage:
    """Return an image with a camera without distortion."""
    return replace(image, camera=drop_distortion(image.camera))


def drop_distortion(camera: Camera) -> Camera:
    """Return the pinhole camera with the same focal lengths and principal point."""
    colmap = camera.colmap
    params = (colmap.focal_length_x, colmap.focal_length_y, colmap.principal_point_x, colmap.principal_point_y)
    if not any(camera.params[index] for index in colmap.extra_params_idxs()):
        return camera
    return Camera("PINHOLE", camera.width, camera.height, params)
