"""Why an image is not even tried: the words that the node and the evaluation share."""

from __future__ import annotations

import enum


class Drop(enum.Enum):
    """Why an image was not even tried. The names are keys in /diagnostics."""

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
    MAP_CHANGED = "another map was loaded meanwhile"
    INTERNAL_ERROR = "internal error, see the log"


class NotTried(Exception):
    """An image that cannot be localized for a reason outside the image's content."""

    def __init__(self, drop: Drop, detail: str = "") -> None:
        super().__init__(detail or drop.value)
        self.drop = drop
