"""TopicFM-fast beyond the contract of all matchers: what is stored, what moves, what a wide image costs."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from worlds import textured_image

from deviloc_ros.config import MatcherConfig
from deviloc_ros.upstream.topicfm import TopicFMMatcher
from deviloc_ros.upstream.topicfm.coarse import EncoderLayer, match_cells
from deviloc_ros.upstream.topicfm.matcher import network_size, sample_fine


@pytest.fixture(scope="module")
def matcher():
    return TopicFMMatcher(MatcherConfig(name="topicfm", weights="random", max_image_side_px=320))


@pytest.fixture(scope="module")
def image():
    return textured_image(np.random.default_rng(0), 160, 128)


def test_images_are_only_scaled_down_and_floored_to_sixteen():
    assert network_size((640, 480), 640) == (640, 480)
    assert network_size((800, 601), 640) == (640, 480)
    assert network_size((320, 250), 640) == (320, 240)
    assert network_size((15, 640), 640) == (0, 640)


def test_stored_half_precision_features_match_as_fresh_ones_do(matcher, image):
    query = matcher.extract(image)
    reference = matcher.extract(np.roll(image, 8, 1))
    stored = replace(reference, descriptors=reference.descriptors.half(), fine=reference.fine.half())
    (fresh,), (cached,) = matcher.match(query, [reference]), matcher.match(query, [stored])
    common = np.intersect1d(fresh.reference_indices, cached.reference_indices)
    assert len(common) > 0.95 * max(len(fresh), len(cached)) > 50
    keypoints = [dict(zip(m.reference_indices, m.moved.query_keypoints, strict=True)) for m in (fresh, cached)]
    apart = np.linalg.norm([keypoints[0][row] - keypoints[1][row] for row in common], axis=1)
    assert np.median(apart) < 0.02 and np.percentile(apart, 99) < 0.5


def test_a_shift_by_a_cell_matches_each_cell_with_its_neighbour(matcher, image):
    wide = textured_image(np.random.default_rng(1), 200, 128)
    query, reference = matcher.extract(wide[:, 8:168].copy()), matcher.extract(wide[:, :160].copy())
    (matches,) = matcher.match(query, [reference])
    moved = matches.moved.reference_keypoints - matches.moved.query_keypoints
    assert len(matches) > 50 and np.median(np.linalg.norm(moved - [8, 0], axis=1)) < 6  # either moves by 4 at most
    cells = reference.keypoints.cpu().numpy()[matches.reference_indices]
    assert np.abs(matches.moved.reference_keypoints - cells).max() <= 4.01  # two fine pixels
    np.testing.assert_allclose(
        cells - matches.query_keypoints, matches.moved.reference_keypoints - matches.moved.query_keypoints, atol=1e-3
    )


def test_keypoints_are_pixels_of_the_original_image(matcher, image):
    small, large = (matcher.extract(i).to("cpu") for i in (image, cv2.resize(image, (640, 512))))
    assert len(small) == 20 * 16 and len(large) == 40 * 32
    np.testing.assert_allclose(small.keypoints[0], [0, 0])
    np.testing.assert_allclose(large.keypoints[1], [8 * 2 + 0.5, 0.5])


def test_references_of_several_sizes_are_matched_in_order(matcher, image):
    query = matcher.extract(image)
    references = [matcher.extract(i) for i in (image, np.rot90(image).copy(), image[:80].copy(), image)]
    matches = matcher.match(query, references)
    assert [m.moved.reference_features.shape for m in matches] == [(len(m), 128) for m in matches]
    np.testing.assert_array_equal(matches[0].reference_indices, matches[3].reference_indices)
    assert all(m.reference_indices.max(initial=0) < len(r) for m, r in zip(matches, references, strict=True))


def test_fine_features_are_sampled_where_the_map_says(matcher, image):
    features = matcher.extract(image).to("cpu")
    at = torch.tensor([[0.0, 0.0], [10.0, 20.0], [11.0, 20.0]])
    sampled = sample_fine(features, at)
    np.testing.assert_allclose(sampled[0], features.fine[:, 0, 0], atol=1e-5)
    np.testing.assert_allclose(sampled[1], features.fine[:, 10, 5], atol=1e-4)
    np.testing.assert_allclose(sampled[2], features.fine[:, 10, 5:7].mean(1), atol=1e-4)


def test_weights_are_told_apart(matcher):
    assert len(matcher.weights_id) == 64


@torch.inference_mode()
def test_projections_applied_to_the_few_are_attention():
    torch.manual_seed(0)
    layer, few, many = EncoderLayer().double(), torch.randn(2, 5, 256).double(), torch.randn(2, 30, 256).double()

    def attention(x, source):
        q, k, v = (
            p(s).unflatten(2, (2, 128)).transpose(1, 2)
            for p, s in zip((layer.q_proj, layer.k_proj, layer.v_proj), (x, source, source), strict=True)
        )
        attended = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        message = layer.norm1(layer.merge(attended))
        return x + layer.norm2(layer.mlp(torch.cat([x, message], 2)))

    halves = many[:, :10], many[:, 10:]
    torch.testing.assert_close(layer.topics_from_cells(few, halves), attention(few, many))
    torch.testing.assert_close(layer.cells_from_topics(many, few), attention(many, few))


@torch.inference_mode()
def test_sparse_dual_softmax_is_the_dense_one():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, size, 16, generator=generator).double() * 3 for size in (40, 50))
    inside_a, inside_b = torch.arange(40) > 3, torch.arange(50) > 5
    found = match_cells(a, b, inside_a, inside_b, 0.2)
    similarity = a @ b.mT / 4
    confidence = similarity.softmax(1) * similarity.softmax(2)
    best = (confidence == confidence.amax(1, keepdim=True)) & (confidence == confidence.amax(2, keepdim=True))
    pairs, rows, columns = (best & (confidence > 0.2) & inside_a[:, None] & inside_b).nonzero(as_tuple=True)
    assert len(pairs) > 5
    for mine, dense in ((found.pairs, pairs), (found.query_cells, rows), (found.reference_cells, columns)):
        assert mine.tolist() == dense.tolist()
    torch.testing.assert_close(found.confidence, confidence[pairs, rows, columns])
