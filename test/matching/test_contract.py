"""What every matcher promises, whatever its method."""

from dataclasses import fields, replace
from functools import cache

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from worlds import INSTALLED_MATCHERS, TRAINED_MATCHERS, textured_image

from deviloc_ros.config import MatcherConfig
from deviloc_ros.matching import create_matcher
from deviloc_ros.matching.base import Matcher
from deviloc_ros.types import Features

KEYPOINTS = 512
OFFSET_BOUND_PX = 0.35  # what matches may be off on average, between images that differ by a shift alone
RNG = np.random.default_rng
DULL_IMAGES = {
    "black": np.zeros((240, 320), np.uint8),
    "white": np.full((240, 320), 255, np.uint8),
    "one pixel": np.zeros((1, 1), np.uint8),
    "one row": np.arange(200, dtype=np.uint8)[None],
    "one column": np.arange(200, dtype=np.uint8)[:, None],
    "tiny": RNG(3).integers(0, 255, (24, 24), np.uint8),
    "smaller than a cell": RNG(0).integers(0, 255, (5, 7), np.uint8),
    "noise": RNG(1).integers(0, 255, (120, 160), np.uint8),
    "gradient": np.tile(np.arange(160, dtype=np.uint8), (120, 1)),
}


@cache
def matcher_named(name: str) -> Matcher:
    return create_matcher(MatcherConfig(name=name, max_keypoints=KEYPOINTS, min_image_side_px=0, weights="random"))


@pytest.fixture(params=INSTALLED_MATCHERS)
def matcher(request) -> Matcher:
    """Any matcher; those whose weights are not installed have random ones."""
    return matcher_named(request.param)


@pytest.fixture(params=TRAINED_MATCHERS)
def trained_matcher(request) -> Matcher:
    return matcher_named(request.param)


def crop(dx: float, dy: float, seed: int = 0) -> np.ndarray:
    """A 320 x 240 window of a textured image that starts (dx, dy) px right of and below the middle."""
    image = textured_image(RNG(seed), 480, 400)
    shift = np.array([[1, 0, -80 - dx], [0, 1, -80 - dy]], float)
    return cv2.warpAffine(image, shift, (320, 240), flags=cv2.INTER_CUBIC)


def tensors_of(features: Features) -> dict[str, torch.Tensor]:
    values = {f.name: getattr(features, f.name) for f in fields(features)}
    return {name: value.clone() for name, value in values.items() if isinstance(value, torch.Tensor)}


def assert_valid(matches, query: Features, reference: Features):
    rows, confidence = matches.reference_indices, matches.confidence
    assert matches.query_keypoints.shape == (len(matches), 2) and rows.shape == confidence.shape == (len(matches),)
    assert ((rows >= 0) & (rows < len(reference))).all() and len(set(rows.tolist())) == len(rows)
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert (matches.query_keypoints >= -16).all() and (matches.query_keypoints <= np.array(query.size) + 16).all()


@pytest.mark.parametrize("name", DULL_IMAGES)
def test_any_image_gives_features_of_one_length_inside_it(matcher, name):
    image = DULL_IMAGES[name]
    features = matcher.extract(image)
    height, width = image.shape
    assert features.size == (width, height) and features.dense is None
    assert (
        len(features) <= KEYPOINTS or features.fine is not None
    )  # the cells of a dense matcher are as many as they are
    assert features.descriptors.shape == (len(features), matcher.descriptor_size)
    assert features.scores.shape == (len(features),) and features.scales.shape == (len(features), 2)
    keypoints = features.keypoints.cpu().numpy()
    assert np.isfinite(keypoints).all()
    assert (keypoints >= -0.5).all() and (keypoints <= np.array([width, height]) - 0.5).all()


@pytest.mark.parametrize("name", ["black", "white", "one pixel"])
def test_images_without_features_have_none(matcher, name):
    assert len(matcher.extract(DULL_IMAGES[name])) == 0


@pytest.mark.parametrize("name", DULL_IMAGES)
def test_matching_with_any_image_is_no_error(matcher, name):
    dull, other = matcher.extract(DULL_IMAGES[name]), matcher.extract(crop(0, 0))
    for query, reference in ((dull, other), (other, dull), (dull, dull)):
        (matches,) = matcher.match(query, [reference])
        assert_valid(matches, query, reference)


def test_no_references_are_no_matches(matcher):
    assert matcher.match(matcher.extract(crop(0, 0)), []) == []


def test_matches_are_valid_and_one_to_one(matcher):
    query, reference = matcher.extract(crop(0, 0)), matcher.extract(crop(5.3, -7.1))
    (matches,) = matcher.match(query, [reference])
    assert len(matches) > 100
    assert_valid(matches, query, reference)


def test_matches_of_use_are_the_same_whatever_else_is(matcher):
    query, reference = matcher.extract(crop(0, 0)), matcher.extract(crop(25.3, -37.1))
    useful = RNG(0).random(len(reference)) < 0.5
    (every,), (some,) = matcher.match(query, [reference]), matcher.match(query, [reference], [useful])
    expected, found = (np.flatnonzero(useful[m.reference_indices]) for m in (every, some))
    assert len(expected) > 20
    np.testing.assert_array_equal(every.reference_indices[expected], some.reference_indices[found])
    np.testing.assert_allclose(every.query_keypoints[expected], some.query_keypoints[found], atol=1e-2)


@pytest.mark.parametrize("shift", [(0, 0), (2.5, -1.25), (-13.3, 6.7)], ids=str)
def test_matches_lie_where_the_image_moved_to(trained_matcher, shift):
    query, reference = trained_matcher.extract(crop(*shift)), trained_matcher.extract(crop(0, 0))
    (matches,) = trained_matcher.match(query, [reference])
    expected = reference.keypoints.cpu().numpy()[matches.reference_indices] - shift
    errors = matches.query_keypoints - expected
    distances = np.linalg.norm(errors, axis=1)
    assert (distances < 3).mean() > 0.9 and np.median(distances) < 1.3
    assert np.abs(errors[distances < 3].mean(0)).max() < OFFSET_BOUND_PX


def test_scales_are_those_of_each_direction():
    """240 rows are not a multiple of what the backbone takes, so a level is squeezed more in y than in x."""
    features = matcher_named("xfeat").extract(crop(0, 0))
    for level in features.scales.unique(dim=0):
        keypoints = features.keypoints[(features.scales == level).all(1)]
        cells = (keypoints - keypoints[0]) / (8 * level)
        torch.testing.assert_close(cells, cells.round(), rtol=0, atol=1e-3)
        assert level[0] != level[1]


def test_an_image_matched_with_itself_stays_in_place(trained_matcher):
    features = trained_matcher.extract(crop(0, 0))
    (matches,) = trained_matcher.match(features, [features])
    offsets = matches.query_keypoints - features.keypoints.cpu().numpy()[matches.reference_indices]
    assert len(matches) > 0.9 * len(features) and np.median(np.linalg.norm(offsets, axis=1)) < OFFSET_BOUND_PX


def test_both_calls_are_deterministic(matcher):
    first, second = matcher.extract(crop(0, 0)), matcher.extract(crop(0, 0))
    for name, tensor in tensors_of(first).items():
        torch.testing.assert_close(tensor, tensors_of(second)[name], rtol=0, atol=0)
    reference = matcher.extract(crop(3, 3))
    (a,), (b,) = matcher.match(first, [reference]), matcher.match(second, [reference])
    np.testing.assert_array_equal(a.query_keypoints, b.query_keypoints)
    np.testing.assert_array_equal(a.reference_indices, b.reference_indices)


def test_arguments_stay_as_they_were(matcher):
    image = crop(0, 0)
    untouched = image.copy()
    query, reference = matcher.extract(image), matcher.extract(crop(3, 3))
    np.testing.assert_array_equal(image, untouched)
    before = tensors_of(query), tensors_of(reference)
    references = [reference, reference]
    matcher.match(query, references)
    assert len(references) == 2
    for features, tensors in zip((query, reference), before, strict=True):
        for name, tensor in tensors.items():
            torch.testing.assert_close(getattr(features, name), tensor, rtol=0, atol=0)


def test_references_do_not_influence_each_other(matcher):
    query = matcher.extract(crop(0, 0))
    images = [crop(4, 4), crop(0, 0, seed=1), DULL_IMAGES["black"], DULL_IMAGES["noise"], crop(-9, 2)]
    references = [matcher.extract(image) for image in images]
    together = matcher.match(query, references)
    assert len(together) == len(references) and len(together[2]) == 0
    for matches, reference in zip(together, references, strict=True):
        (alone,) = matcher.match(query, [reference])
        same = np.intersect1d(matches.reference_indices, alone.reference_indices)
        assert len(same) >= 0.98 * max(len(alone), len(matches))  # a confidence may fall on either side of a threshold
        keypoints = [dict(zip(m.reference_indices.tolist(), m.query_keypoints, strict=True)) for m in (matches, alone)]
        for row in same.tolist():
            np.testing.assert_allclose(keypoints[0][row], keypoints[1][row], atol=0.05)


def test_the_dense_map_is_kept_on_request_and_changes_nothing(trained_matcher):
    sparse, dense = trained_matcher.extract(crop(0, 0)), trained_matcher.extract(crop(0, 0), keep_dense=True)
    assert sparse.dense is None and dense.dense is not None and dense.dense.ndim == 3
    torch.testing.assert_close(sparse.keypoints, dense.keypoints)


def test_images_larger_than_the_limit_keep_their_own_pixels():
    config = MatcherConfig(max_keypoints=KEYPOINTS, max_image_side_px=320)
    image = cv2.resize(crop(0, 0), (960, 720), interpolation=cv2.INTER_CUBIC)
    keypoints = create_matcher(config).extract(image).keypoints.cpu().numpy()
    assert keypoints[:, 0].max() > 640 and keypoints[:, 1].max() > 480


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 8192), st.integers(64, 8192))
def test_images_are_scaled_between_the_two_limits_and_the_upper_one_decides(height, width, low_px, high_px):
    scale = MatcherConfig(min_image_side_px=low_px, max_image_side_px=high_px).network_scale((height, width))
    longest = max(height, width)
    assert longest * scale == pytest.approx(min(max(longest, min(low_px, 4 * longest)), high_px))


@pytest.mark.parametrize("name", [name for name in INSTALLED_MATCHERS if name != "topicfm"])
def test_small_images_give_the_features_of_the_size_that_the_network_sees(name):
    """Of an image half as large: more than without scaling it up, where the full one has them, in its own pixels."""
    config = MatcherConfig(name=name, max_keypoints=4096)
    small = cv2.resize(crop(0, 0), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    scaled, as_it_is = (
        create_matcher(replace(config, min_image_side_px=px)).extract(small) for px in (2 * max(small.shape), 0)
    )
    assert len(scaled) > 1.5 * len(as_it_is)
    keypoints, scales = scaled.keypoints.numpy(), scaled.scales.numpy()
    assert (keypoints >= -0.5).all() and (keypoints < np.array(small.shape[::-1]) - 0.5).all()
    assert scales == pytest.approx(as_it_is.scales.numpy()[: len(scales)].max() * 0.5, rel=0.6)


def test_a_matcher_nobody_has_is_an_error_by_name():
    with pytest.raises(ValueError, match="'orb'"):
        MatcherConfig(name="orb")


def test_features_move_to_a_device_whole(matcher):
    features = matcher.extract(crop(0, 0), keep_dense=True)
    moved = features.to("meta")
    assert all(tensor.is_meta for tensor in tensors_of(moved).values()) and moved.size == features.size
    assert tensors_of(moved).keys() == tensors_of(features).keys()


@pytest.mark.gpu
@pytest.mark.parametrize("name", INSTALLED_MATCHERS)
def test_on_a_gpu_references_may_lie_on_the_cpu_as_a_map_holds_them(name, cuda):
    on_gpu = create_matcher(MatcherConfig(name=name, max_keypoints=KEYPOINTS, weights="random", device="cuda"))
    query, reference = on_gpu.extract(crop(0, 0)), on_gpu.extract(crop(4, 0))
    (there,), (here,) = on_gpu.match(query, [reference]), on_gpu.match(query, [reference.to("cpu")])
    assert len(there) and there.reference_indices.tolist() == here.reference_indices.tolist()
    (on_cpu,) = matcher_named(name).match(query.to("cpu"), [reference.to("cpu")])
    assert len(on_cpu) == pytest.approx(len(there), rel=0.1)


def test_keypoints_lie_where_the_image_is_used(matcher):
    """And what is hidden takes none of their number."""
    used = np.ones((240, 320), bool)
    used[:, 100:220] = False
    features, everywhere = matcher.extract(crop(0, 0), used=used), matcher.extract(crop(0, 0))
    shown = features.keypoints[features.scores > 0].round().long().cpu()
    assert len(shown) > 50 and used[shown[:, 1], shown[:, 0]].all()
    hidden = (everywhere.keypoints[:, 0] > 100) & (everywhere.keypoints[:, 0] < 220)
    assert hidden.any() and (len(shown) > (~hidden).sum() or len(everywhere) < KEYPOINTS or features.fine is not None)
    (matches,) = matcher.match(features, [features])
    columns = matches.query_keypoints[:, 0]
    assert len(matches) > 20 and not ((columns > 110) & (columns < 210)).any()


def test_a_mask_that_hides_all_leaves_nothing_to_match(matcher):
    nothing = matcher.extract(crop(0, 0), used=np.zeros((240, 320), bool))
    (matches,) = matcher.match(nothing, [matcher.extract(crop(0, 0))])
    assert len(matches) == 0
