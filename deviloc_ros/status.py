"""Define the possible outcomes of an image, as named in diagnostics, ~/status, frames.csv and summaries."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager


class Status(enum.Enum):
    """Name the outcome of an image. The value is a sentence for people; `word` is the key that programs read."""

    # A pose was given and is believed.
    ACCEPTED = "a pose was given"

    # The image gives no pose: reasons of `Lost`.
    BAD_IMAGE = "image unusable"
    NO_FEATURES = "too few keypoints in the image"
    NO_REFERENCES = "no reference view to match with"
    FEW_CORRESPONDENCES = "too few 2D-3D correspondences"
    NO_CONSENSUS = "RANSAC found no pose, or the image fits better mirrored or as a flat picture of the place"
    FEW_INLIERS = "too few inliers"
    LOW_INLIER_RATIO = "inlier ratio too low"
    LOW_COVERAGE = "inliers cluster in a small part of the image"
    DEGENERATE = "pose not determined by its inliers"
    UNCERTAIN = "pose too uncertain"
    UNSTABLE = "pose hangs on one part of the image"
    MISCALIBRATED = "the image does not fit the calibration"
    AMBIGUOUS = "several places look like this one"

    # The image gives a pose that is not believed yet, or is no longer useful.
    UNCONFIRMED = "waiting for more fixes that agree"
    OUT_OF_ORDER = "not newer than the last fix"
    OUTDATED = "searched for before the pose was given or forgotten"

    # The image was not tried.
    REPLACED = "a newer image came before its turn"
    DISABLED = "switched off by ~/enable"
    NOT_ASKED = "not continuous, and nobody called ~/trigger_localization"
    RATE_LIMITED = "more images than max_rate_hz"
    NO_STAMP = "the image has no time stamp"
    TOO_OLD = "the image is older than max_image_age_s"
    FROM_FUTURE = "the image's stamp is in the future"
    UNDECODABLE = "the image cannot be decoded"
    NO_CAMERA_INFO = "no camera_info for the image's frame"
    BAD_CAMERA_INFO = "camera_info unusable"
    NO_EXTRINSIC = "the camera's place on the robot is unknown"
    NO_ODOMETRY = "no odometry brings the image to the time of the rig's"
    MAP_CHANGED = "another map was loaded meanwhile"
    INTERNAL_ERROR = "internal error, see the log"

    # Known only in a replay, from outside the node.
    NOT_PUBLISHED = "the node published no pose for it, and did not say why"
    NOT_RECEIVED = "it never reached the node"
    UNFINISHED = "the replay ended before the node came to it"

    @property
    def word(self) -> str:
        """Return the key: the name in lower case."""
        return self.name.lower()

    @property
    def sentence(self) -> str:
        """Return the meaning of the status, for people."""
        return self.value

    @property
    def advice(self) -> str:
        """Return the usual cause and remedy."""
        return ADVICE[self]

    @property
    def tried(self) -> bool:
        """Return whether the image reached the localizer."""
        return self not in NOT_TRIED

    @staticmethod
    def from_word(word: str) -> Status:
        """Return the status with this `word`. Raises ValueError if there is none."""
        try:
            return Status[word.upper()]
        except KeyError as error:
            raise ValueError(f"{word!r} is not an image status") from error


NOT_TRIED = frozenset(
    {
        Status.REPLACED,
        Status.DISABLED,
        Status.NOT_ASKED,
        Status.RATE_LIMITED,
        Status.NO_STAMP,
        Status.TOO_OLD,
        Status.FROM_FUTURE,
        Status.UNDECODABLE,
        Status.NO_CAMERA_INFO,
        Status.BAD_CAMERA_INFO,
        Status.NO_EXTRINSIC,
        Status.NO_ODOMETRY,
        Status.MAP_CHANGED,
        Status.INTERNAL_ERROR,
        Status.NOT_RECEIVED,
        Status.UNFINISHED,
    }
)


NOTHING_TO_DO = "nothing to do: the next image counts"
CLOCKS = "the clocks of two machines differ, or `use_sim_time` is set on one side only"
ADVICE = {
    Status.ACCEPTED: "nothing to do",
    Status.BAD_IMAGE: (
        "check that the image can be read, has the size that the camera states, and is not masked completely"
    ),
    Status.NO_FEATURES: (
        "the image is dark, blurred, covered, or shows a bare wall: add light, shorten the exposure, or look elsewhere"
    ),
    Status.NO_REFERENCES: "check the prior; if it is right, the map has no views of that place: add some",
    Status.FEW_CORRESPONDENCES: (
        "the image shows another place than the map, or very different light: add views to the map"
    ),
    Status.NO_CONSENSUS: (
        "the image shows another place, is mirrored, shows a picture of the place, or its calibration is wrong"
    ),
    Status.FEW_INLIERS: (
        "another place, very different light, or a viewpoint that the map lacks: "
        "compare it with the best view (`localize --pictures DIR`) and add views from "
        "there"
    ),
    Status.LOW_INLIER_RATIO: (
        "repeated or moved objects, or a wrong calibration: check the calibration and add views from there"
    ),
    Status.LOW_COVERAGE: "the map knows only one object in the image: add views of its surroundings",
    Status.DEGENERATE: (
        "all inliers lie on a line or in one spot: point the camera at more of the place, or add views"
    ),
    Status.UNCERTAIN: (
        "few landmarks nearby, or a wrong calibration: add views, calibrate, or allow "
        "more (`pose.max_position_std`, `pose.required_position_std_m`)"
    ),
    Status.UNSTABLE: ("parts of the image contradict each other, often because something was moved: add views"),
    Status.MISCALIBRATED: (
        "calibrate the camera; if that is not possible, estimate the focal length (`pose.estimate_focal`)"
    ),
    Status.AMBIGUOUS: "drive to where the places differ, or publish the robot's pose (`initialpose`)",
    Status.UNCONFIRMED: ("wait for the next images; if it persists, check odometry, stamps and the camera mount"),
    Status.OUT_OF_ORDER: "images arrive late or twice: use one publisher for each topic, and one clock",
    Status.OUTDATED: NOTHING_TO_DO,
    Status.REPLACED: "nothing to do on a busy machine: the newest image wins",
    Status.DISABLED: "call `~/enable` with `true`",
    Status.NOT_ASKED: "call `~/trigger_localization`, or set `continuous: true`",
    Status.RATE_LIMITED: "nothing to do, or raise `max_rate_hz`",
    Status.NO_STAMP: "the driver does not stamp its images: configure it to",
    Status.TOO_OLD: f"{CLOCKS}; on a slow network, raise `max_image_age_s`",
    Status.FROM_FUTURE: CLOCKS,
    Status.UNDECODABLE: ("check that the topic is a camera's (not depth), its encoding, and `image_transport`"),
    Status.NO_CAMERA_INFO: "set `camera_info_topic`, and give images and camera_info the same `frame_id`",
    Status.BAD_CAMERA_INFO: "load a calibration (`K` not zero) with a supported distortion model",
    Status.NO_EXTRINSIC: (
        "publish the camera mount (robot_state_publisher, a static transform) or set "
        "`base_from_camera`; set `camera_frame` if the image's `frame_id` is a "
        "different frame"
    ),
    Status.NO_ODOMETRY: "publish odometry on TF, or synchronize the cameras",
    Status.MAP_CHANGED: NOTHING_TO_DO,
    Status.INTERNAL_ERROR: "report it with the log; the node goes on with the next image",
    Status.NOT_PUBLISHED: "check the node's log",
    Status.NOT_RECEIVED: "replay more slowly (`--rate`), or find out why the network loses images",
    Status.UNFINISHED: "replay more slowly (`--rate`)",
}


class NotTried(Exception):
    """Raise for an image that cannot be localized for a reason outside the image's content."""

    def __init__(self, status: Status, detail: str = "") -> None:
        super().__init__(detail or status.sentence)
        self.status = status


@contextmanager
def not_tried_if_refused(status: Status) -> Iterator[None]:
    """Turn a ValueError raised in the block into `NotTried` with the same message."""
    try:
        yield
    except ValueError as error:
        raise NotTried(status, str(error)) from error


def explain_word(word: str) -> str:
    """Return the sentence of the status with this key, or the key itself if it comes from another version."""
    return Status[word.upper()].sentence if word.upper() in Status.__members__ else word
