"""Rigid transforms as plain floats: at this size numpy costs more than it saves."""

import math
from typing import NamedTuple

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]  # x, y, z, w, unit length

# Closer than this, the sine in slerp's denominator loses too many digits; a straight line is exact to 1e-16 there.
NEARLY_PARALLEL = 1.0 - 1e-12


class Transform(NamedTuple):
    """`parent_from_child`: first rotate, then translate."""

    translation: Vector  # [m]
    rotation: Quaternion


IDENTITY = Transform((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def compose(a_from_b: Transform, b_from_c: Transform) -> Transform:
    """a_from_c."""
    moved = rotate(a_from_b.rotation, b_from_c.translation)
    return Transform(add(a_from_b.translation, moved), multiply(a_from_b.rotation, b_from_c.rotation))


def inverse(a_from_b: Transform) -> Transform:
    """b_from_a."""
    x, y, z, w = a_from_b.rotation
    conjugate = (-x, -y, -z, w)
    tx, ty, tz = rotate(conjugate, a_from_b.translation)
    return Transform((-tx, -ty, -tz), conjugate)


def interpolate(before: Transform, after: Transform, fraction: float) -> Transform:
    """Straight line for the translation, shortest great arc for the rotation; fraction in [0, 1]."""
    a, b = before.translation, after.translation
    line = tuple(p + fraction * (q - p) for p, q in zip(a, b, strict=True))
    return Transform(line, slerp(before.rotation, after.rotation, fraction))


def slerp(a: Quaternion, b: Quaternion, fraction: float) -> Quaternion:
    cosine = sum(p * q for p, q in zip(a, b, strict=True))
    sign = -1.0 if cosine < 0 else 1.0  # q and -q are one rotation; take the nearer
    angle = math.acos(min(abs(cosine), 1.0))
    if abs(cosine) > NEARLY_PARALLEL:
        weight_a, weight_b = 1.0 - fraction, fraction
    else:
        weight_a, weight_b = (math.sin(part * angle) / math.sin(angle) for part in (1.0 - fraction, fraction))
    return normalized(tuple(weight_a * p + sign * weight_b * q for p, q in zip(a, b, strict=True)))


def normalized(q: Quaternion) -> Quaternion:
    length = math.hypot(*q)
    return tuple(component / length for component in q)


def multiply(p: Quaternion, q: Quaternion) -> Quaternion:
    px, py, pz, pw = p
    qx, qy, qz, qw = q
    return (
        pw * qx + px * qw + py * qz - pz * qy,
        pw * qy - px * qz + py * qw + pz * qx,
        pw * qz + px * qy - py * qx + pz * qw,
        pw * qw - px * qx - py * qy - pz * qz,
    )


def rotate(q: Quaternion, v: Vector) -> Vector:
    axis, w = q[:3], q[3]
    twice = tuple(2.0 * component for component in cross(axis, v))
    return add(add(v, tuple(w * component for component in twice)), cross(axis, twice))


def cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def add(a: Vector, b: Vector) -> Vector:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])
