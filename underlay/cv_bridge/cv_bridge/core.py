"""`CvBridge` over rosbags-image, which knows the encodings; row padding and the checks are added here."""

import sys
from array import array
from types import SimpleNamespace

import cv2
import numpy as np
from rosbags.image import ImageError, image_to_cvimage
from rosbags.image.image import Format, to_cvtype
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

PASSTHROUGH = "passthrough"
DEPTH_NAMES = {
    "uint8": "8U",
    "int8": "8S",
    "uint16": "16U",
    "int16": "16S",
    "int32": "32S",
    "float32": "32F",
    "float64": "64F",
}


class CvBridgeError(TypeError):
    """The message or the array does not hold what its encoding says, or cannot be converted."""


class CvBridge:
    """Converts images; holds no state."""

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = PASSTHROUGH) -> np.ndarray:
        """(H, W) or (H, W, C) array of a message, in `desired_encoding` (passthrough: as it comes).

        Raises:
            CvBridgeError: unknown encoding, too few bytes, or a conversion that makes no sense.
        """
        image = image_to_cvimage(packed(img_msg))
        return converted(image, img_msg.encoding, desired_encoding)

    def cv2_to_imgmsg(self, cvim: np.ndarray, encoding: str = PASSTHROUGH, header: Header | None = None) -> Image:
        """Message of an (H, W) or (H, W, C) array; passthrough names the encoding by type, as in 8UC3.

        Raises:
            CvBridgeError: the array does not have the type and channels of `encoding`.
        """
        image = np.ascontiguousarray(cvim)
        own_encoding = encoding_of(image)
        if encoding != PASSTHROUGH and type_of(encoding) != type_of(own_encoding):
            raise CvBridgeError(f"encoding {encoding} does not fit an image of type {own_encoding}")
        height, width = image.shape[:2]
        return Image(
            header=header or Header(),
            height=height,
            width=width,
            encoding=own_encoding if encoding == PASSTHROUGH else encoding,
            is_bigendian=is_big_endian(image.dtype),
            step=image.nbytes // height if height else 0,
            data=byte_array(image),
        )

    def compressed_imgmsg_to_cv2(
        self, cmprs_img_msg: CompressedImage, desired_encoding: str = PASSTHROUGH
    ) -> np.ndarray:
        """(H, W) or (H, W, 3) array, BGR where in colour, unless `desired_encoding` says otherwise.

        Raises:
            CvBridgeError: the bytes are no image that OpenCV reads.
        """
        data = np.frombuffer(cmprs_img_msg.data, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
        if image is None:
            raise CvBridgeError(f"cannot decode {data.size} bytes of format {cmprs_img_msg.format!r}")
        return converted(image, colour_encoding_of(image), desired_encoding)

    def cv2_to_compressed_imgmsg(self, cvim: np.ndarray, dst_format: str = "jpg") -> CompressedImage:
        """Compressed message of a grey or BGR array; `dst_format` is a file ending that OpenCV writes (jpg, png)."""
        try:
            _, data = cv2.imencode(f".{dst_format}", cvim)
        except cv2.error as error:
            raise CvBridgeError(f"cannot write {encoding_of(cvim)} as {dst_format}: {error}") from error
        return CompressedImage(format=dst_format, data=byte_array(data))


def packed(msg: Image) -> SimpleNamespace:
    """The message with its rows next to each other, without the padding that `step` allows."""
    dtype, channels = type_of(msg.encoding)
    row_bytes = msg.width * channels * np.dtype(dtype).itemsize
    step = msg.step or row_bytes
    data = np.frombuffer(msg.data, np.uint8)
    if step < row_bytes or data.size < msg.height * step:
        raise CvBridgeError(
            f"{msg.width}x{msg.height} {msg.encoding} needs {row_bytes} bytes a row, got step {step}, {data.size} bytes"
        )
    if step > row_bytes:
        data = data[: msg.height * step].reshape(msg.height, step)[:, :row_bytes].copy()
    return SimpleNamespace(
        encoding=msg.encoding, height=msg.height, width=msg.width, is_bigendian=bool(msg.is_bigendian), data=data.data
    )


def converted(image: np.ndarray, encoding: str, desired_encoding: str) -> np.ndarray:
    if desired_encoding in (PASSTHROUGH, encoding):
        return image
    if is_colour(encoding) and is_colour(desired_encoding):
        return colour_converted(image, encoding, desired_encoding)
    if is_colour(desired_encoding):
        raise CvBridgeError(f"[{encoding}] does not say which colours it holds, so it cannot become {desired_encoding}")
    (_, channels), (dtype, desired_channels) = type_of(encoding), type_of(desired_encoding)
    if channels != desired_channels:
        raise CvBridgeError(f"{encoding} and {desired_encoding} differ in their number of channels")
    return saturated(image, np.dtype(dtype))


def colour_converted(image: np.ndarray, encoding: str, desired_encoding: str) -> np.ndarray:
    height, width = image.shape[:2]
    contiguous = np.ascontiguousarray(image)
    msg = SimpleNamespace(
        encoding=encoding, height=height, width=width, is_bigendian=sys.byteorder == "big", data=contiguous.data
    )
    try:
        return image_to_cvimage(msg, desired_encoding)
    except ImageError as error:
        raise CvBridgeError(str(error)) from error


def saturated(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values kept, rounded and cut to what the type can hold: the meaning of unscaled types such as 16UC1."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        image = np.clip(np.rint(image), limits.min, limits.max)
    return image.astype(dtype)


def type_of(encoding: str) -> tuple[str, int]:
    """Numpy type name and number of channels."""
    try:
        _, _, dtype, channels = to_cvtype(encoding)
    except ImageError as error:
        raise CvBridgeError(str(error)) from error
    return dtype, channels


def is_colour(encoding: str) -> bool:
    """Whether the encoding names its colours (rgb8, mono8, bayer_rggb8), not only a type (8UC3)."""
    try:
        return to_cvtype(encoding)[1] != Format.GENERIC
    except ImageError as error:
        raise CvBridgeError(str(error)) from error


def encoding_of(image: np.ndarray) -> str:
    if image.ndim not in (2, 3) or image.dtype.name not in DEPTH_NAMES:
        raise CvBridgeError(f"an image is (H, W) or (H, W, C) of a common type, not {image.shape} of {image.dtype}")
    channels = 1 if image.ndim == 2 else image.shape[2]
    return f"{DEPTH_NAMES[image.dtype.name]}C{channels}"


def colour_encoding_of(image: np.ndarray) -> str:
    """The encoding of what cv2.imdecode returns."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    depth = 8 * image.dtype.itemsize
    return {1: f"mono{depth}", 3: f"bgr{depth}", 4: f"bgra{depth}"}[channels]


def is_big_endian(dtype: np.dtype) -> bool:
    return dtype.byteorder == ">" or (dtype.byteorder == "=" and sys.byteorder == "big")


def byte_array(values: np.ndarray) -> array:
    """rclpy takes an `array` as it is; from bytes it copies one element at a time."""
    data = array("B")
    data.frombytes(values.reshape(-1).view(np.uint8))
    return data
