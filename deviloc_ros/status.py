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


NOTHING_TO_DO = "nothing: the next image counts"
CLOCKS = "two machines' clocks, or `use_sim_time` on one side only"
ADVICE = {
    Status.ACCEPTED: "nothing: all is well",
    Status.BAD_IMAGE: "its size is not the camera's, it cannot be read, or a mask leaves nothing of it",
    Status.NO_FEATURES: "dark, blurred, covered, or a bare wall: more light, a shorter exposure, another direction",
    Status.NO_REFERENCES: "is the prior right? Else the map lacks views from there: add some",
    Status.FEW_CORRESPONDENCES: "another place than the map's, or quite another light: add views of it to the map",
    Status.NO_CONSENSUS: "another place than the map's, a mirrored image, a picture of the place, a wrong calibration",
    Status.FEW_INLIERS: "another place, quite another light, or seen from where no view looks: compare it with the "
    "best view (`localize --pictures DIR`), and add views from there",
    Status.LOW_INLIER_RATIO: "things that look alike or were moved, or a wrong calibration: add views from there",
    Status.LOW_COVERAGE: "the map knows only one thing in the image: add views of what is around it",
    Status.DEGENERATE: "all that fits lies on a line or in one spot: show the camera more of the place, or add views",
    Status.UNCERTAIN: "little is known of what is near, or the calibration is wrong: add views, calibrate, or allow "
    "more (`pose.max_position_std`, `pose.required_position_std_m`)",
    Status.UNSTABLE: "parts of the image contradict each other, as where things were moved: add views",
    Status.MISCALIBRATED: "calibrate the camera; if nobody can, estimate the focal length (`pose.estimate_focal`)",
    Status.AMBIGUOUS: "drive to where the places differ, or say where the robot is (`initialpose`)",
    Status.UNCONFIRMED: "wait for the next images; if it stays, odometry, stamps or the mount contradict them",
    Status.OUT_OF_ORDER: "images that come late or twice: one publisher a topic, and one clock",
    Status.OUTDATED: NOTHING_TO_DO,
    Status.REPLACED: "nothing on a busy machine: the newest image wins",
    Status.DISABLED: "call `~/enable` with `true`",
    Status.NOT_ASKED: "call `~/trigger_localization`, or set `continuous: true`",
    Status.RATE_LIMITED: "nothing, or raise `max_rate_hz`",
    Status.NO_STAMP: "a driver that stamps nothing: let it say when an image was taken",
    Status.TOO_OLD: f"{CLOCKS}; of a slow network: raise `max_image_age_s`",
    Status.FROM_FUTURE: CLOCKS,
    Status.UNDECODABLE: "is it a camera's topic (not depth)? Else see its encoding, and `image_transport`",
    Status.NO_CAMERA_INFO: "set `camera_info_topic`, and let the driver give both one `frame_id`",
    Status.BAD_CAMERA_INFO: "load a calibration (`K` is not zero) of a lens model that is known",
    Status.NO_EXTRINSIC: "robot_state_publisher or a static transform, or `base_from_camera`; `camera_frame` if the "
    "image's `frame_id` is another",
    Status.NO_ODOMETRY: "odometry on TF, or synchronized cameras",
    Status.MAP_CHANGED: NOTHING_TO_DO,
    Status.INTERNAL_ERROR: "report it with the log; the next image is tried",
    Status.NOT_PUBLISHED: "look into the node's log",
    Status.NOT_RECEIVED: "replay it slower (`--rate`), or look why the network loses images",
    Status.UNFINISHED: "replay it slower (`--rate`)",
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
