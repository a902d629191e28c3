"""Check the attributes and results of a user's matcher before minutes of work depend on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deviloc_ros.io.arguments import describe_argument
from deviloc_ros.matching.base import Matcher
from deviloc_ros.types import Features, Matches


def is_number(value: object, kind: type) -> bool:
    """Return whether a value is a number of a kind, including NumPy's, but not a bool."""
    return isinstance(value, kind) and not isinstance(value, bool)


ATTRIBUTES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a str that is not empty", lambda value: isinstance(value, str) and value != ""),
    "descriptor_size": ("an int above 0", lambda value: is_number(value, Integral) and value > 0),
    "device": ("a torch.device", lambda value: isinstance(value, torch.device)),
    "noise_px": ("a number above 0", lambda value: is_number(value, Real) and 0 < value < math.inf),
    "weights_id": ("a str", lambda value: isinstance(value, str)),
}
ROUNDING = 1e-3  # by which a confidence computed as a product of unit vectors may exceed 1


class MatcherError(TypeError):
    """Raise for an invalid matcher; the message names the class and what is wrong with it."""


def check_attributes(matcher: object) -> None:
    """Raise MatcherError naming an attribute of a matcher that is missing or invalid."""
    kind = type(matcher).__name__
    if not isinstance(matcher, Matcher):
        raise MatcherError(f"matcher must be a deviloc_ros.matching.base.Matcher, got {kind}")
    for name, (wanted, is_right) in ATTRIBUTES.items():
        if not hasattr(matcher, name):
            raise MatcherError(f"matcher {kind} has no attribute {name!r}; it must be {wanted}")
        if not is_right(value := getattr(matcher, name)):
            raise MatcherError(f"matcher {kind}: attribute {name!r} must be {wanted}, got {value!r}")


def check_on_image(matcher: Matcher, gray: NDArray) -> None:
    """Raise MatcherError unless a matcher gives valid features for an image, and matches of it with itself."""
    kind = type(matcher).__name__
    features = matcher.extract(gray, keep_dense=True)
    if problem := find_wrong_features(features, matcher.descriptor_size, (gray.shape[1], gray.shape[0])):
        raise MatcherError(f"matcher {kind}: the result of extract {problem}")
    found = matcher.match(features, [features])
    if problem := find_wrong_matches(found, len(features)):
        raise MatcherError(f"matcher {kind}: the result of match_on_device {problem}")


def find_wrong_features(features: object, descriptor_size: int, size: tuple[int, int]) -> str:
    """Say what is wrong with the features of an image; empty if nothing."""
    if not isinstance(features, Features):
        return f"must be Features, is {type(features).__name__}"
    count = len(features.keypoints)
    shapes = {
        "keypoints": (count, 2),
        "descriptors": (count, descriptor_size),
        "scores": (count,),
        "scales": (count, 2),
    }
    for name, shape in shapes.items():
        tensor = getattr(features, name)
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            return f"has {name} that must be a tensor of floats, are {describe_argument(tensor)}"
        if tuple(tensor.shape) != shape:
            because = ", as descriptor_size says" if name == "descriptors" else ""
            return f"has {name} of shape {tuple(tensor.shape)}, expected {shape}{because}"
    if tuple(features.size) != size:
        return f"has size {features.size}, the image is {size[0]} x {size[1]} px"
    if features.dense is not None and (not isinstance(features.dense, torch.Tensor) or features.dense.ndim != 3):
        return f"has a dense map that must be a tensor (C, h, w), is {describe_argument(features.dense)}"
    return ""


def find_wrong_matches(found: object, keypoints: int) -> str:
    """Say what is wrong with the matches with a reference of `keypoints` keypoints; empty if nothing."""
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], Matches):
        return "must be a list of Matches, one for each reference"
    (matches,) = found
    rows, confidence = np.asarray(matches.reference_indices), np.asarray(matches.confidence)
    count = len(matches.query_keypoints)
    for name, shape in {"query_keypoints": (count, 2), "reference_indices": (count,), "confidence": (count,)}.items():
        array = getattr(matches, name)
        if not isinstance(array, np.ndarray) or array.shape != shape:
            return f"has {name} that must be an array {shape}, are {describe_argument(array)}"
    if not np.issubdtype(rows.dtype, np.integer) or (count and not (rows.min() >= 0 and rows.max() < keypoints)):
        return "has reference_indices that are not rows of the reference's keypoints"
    if count and not (confidence.min() >= 0 and confidence.max() <= 1 + ROUNDING):
        return "has confidence outside [0, 1]"
    return ""
