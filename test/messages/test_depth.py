"""Depth in messages: metres and millimetres, raw and compressed, and what is none."""

import struct
from contextlib import suppress
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deviloc_ros.messages.depth import read_depth_message

DEPTH_M = np.array([[0.0, 0.5, 1.25], [2.0, 4.001, 8.0]], np.float32)
MILLIMETRES = np.round(DEPTH_M * 1000).astype(np.uint16)


def image(encoding: str, values: np.ndarray) -> SimpleNamespace:
    height, width = values.shape
    return SimpleNamespace(
        encoding=encoding,
        height=height,
        width=width,
        step=values.strides[0],
        is_bigendian=0,
        data=values.tobytes(),
    )


def compressed(encoding: str, values: np.ndarray, a: float = 0.0, b: float = 0.0) -> SimpleNamespace:
    png = cv2.imencode(".png", values)[1].tobytes()
    return SimpleNamespace(format=f"{encoding}; compressedDepth png", data=struct.pack("<iff", 0, a, b) + png)


def with_gaps(depth_m: np.ndarray) -> np.ndarray:
    depth_m = depth_m.copy()
    depth_m[0] = [np.nan, np.inf, -1.0]
    return depth_m


@pytest.mark.parametrize(
    "message",
    [
        image("16UC1", MILLIMETRES),
        image("mono16", MILLIMETRES),
        image("32FC1", DEPTH_M),
        compressed("16UC1", MILLIMETRES),
    ],
)
def test_depth_is_in_metres(message):
    np.testing.assert_allclose(read_depth_message(message), DEPTH_M, atol=1e-6)


def test_what_is_no_depth_is_zero():
    depth = read_depth_message(image("32FC1", with_gaps(DEPTH_M)))
    assert not depth[0].any() and depth[1].all() and depth.dtype == np.float32


def test_compressed_floats_are_inverse_depths():
    a, b = 1000.0, 5.0
    values = np.where(DEPTH_M > 0, np.round(a / np.maximum(DEPTH_M, 0.1) + b), 0).astype(np.uint16)
    np.testing.assert_allclose(read_depth_message(compressed("32FC1", values, a, b)), DEPTH_M, rtol=5e-3)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (image("bgr8", np.zeros((2, 9), np.uint8)), "encoding 'bgr8'; known are 16UC1"),
        (image("16UC1", MILLIMETRES[:1]), None),
        (compressed("8UC1", MILLIMETRES), "is not compressedDepth"),
        (SimpleNamespace(format="16UC1; compressedDepth png", data=b"1234"), "cannot be decoded"),
        (SimpleNamespace(format="16UC1; compressedDepth png", data=bytes(40)), "not compressedDepth|cannot be decoded"),
        (SimpleNamespace(format="jpeg", data=bytes(40)), "not compressedDepth|cannot be decoded"),
    ],
)
def test_what_is_not_depth_is_an_error(message, why):
    if why is None:
        message.height = 2
    with pytest.raises(ValueError, match=why or "bytes"):
        read_depth_message(message)


@given(st.binary(max_size=64))
def test_any_bytes_are_depth_or_an_error(data):
    with suppress(ValueError):
        assert read_depth_message(SimpleNamespace(format="16UC1; compressedDepth png", data=data)).ndim == 2
