"""The renderer against geometry that can be worked out by hand, and against itself from another place."""

import cv2
import numpy as np
import pycolmap
import pytest

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import transform_points
from deviloc_ros.synthetic import textures
from deviloc_ros.synthetic.facade import make_facade
from deviloc_ros.synthetic.render import NOTHING, find_surfaces, render
from deviloc_ros.synthetic.room import make_room
from deviloc_ros.synthetic.scene import Scene, Surface, Texture
from deviloc_ros.synthetic.street import make_street
from deviloc_ros.synthetic.trajectory import look_at, sample_views_of_a_place

PINHOLE = Camera("PINHOLE", 160, 120, (150.0, 140.0, 80.2, 59.1))
FISHY = Camera("OPENCV", 160, 120, (150.0, 140.0, 80.2, 59.1, -0.15, 0.02, 0.001, -0.001))
WHITE = Surface(Texture(np.full((8, 8, 3), 255, np.uint8)))
AT_ORIGIN = pycolmap.Rigid3d()  # looks along world z


def gray(value: int) -> Surface:
    return Surface(Texture(np.full((8, 8, 3), value, np.uint8)))


@pytest.mark.parametrize("camera", [PINHOLE, FISHY], ids=["pinhole", "distorted"])
def test_quad_covers_exactly_the_pixels_geometry_says(camera):
    scene = Scene(sky=np.zeros(3))
    scene.add_quad((-0.4, -0.3, 2.0), (0.8, 0, 0), (0, 0.5, 0), WHITE)
    _, depth = render(scene, camera, AT_ORIGIN)
    pixels = np.stack(np.meshgrid(np.arange(160), np.arange(120)), -1).reshape(-1, 2)
    points = 2.0 * camera.rays(pixels)
    inside = (np.abs(points[:, 0]) <= 0.4) & (points[:, 1] >= -0.3) & (points[:, 1] <= 0.2)
    np.testing.assert_array_equal(depth.reshape(-1) > 0, inside)
    np.testing.assert_allclose(depth[depth > 0], 2.0, rtol=1e-4)


@pytest.mark.parametrize("camera", [PINHOLE, FISHY], ids=["pinhole", "distorted"])
def test_depth_of_a_slanted_plane_is_exact(camera):
    scene = Scene()
    edge = np.array([10.0, 0.0, 8.0])
    scene.add_quad(np.array([0, -20.0, 3.0]) - edge / 2, edge, (0, 40.0, 0), WHITE, two_sided=True)
    _, depth = render(scene, camera, AT_ORIGIN)
    normal = np.array([8.0, 0.0, -10.0])
    rays = camera.rays(np.stack(np.meshgrid(np.arange(160), np.arange(120)), -1).reshape(-1, 2))
    expected = (normal @ [0, 0, 3.0]) / (rays @ normal)
    seen = depth.reshape(-1) > 0
    assert seen.sum() > 5000
    np.testing.assert_allclose(depth.reshape(-1)[seen], expected[seen], rtol=1e-4)


def test_the_nearer_of_two_quads_is_seen_and_a_back_is_not():
    scene = Scene(sky=np.zeros(3), ambient=1.0)
    scene.add_quad((-5, -5, 4.0), (10, 0, 0), (0, 10, 0), gray(50))
    scene.add_quad((-0.5, -5, 2.0), (1, 0, 0), (0, 10, 0), gray(200))
    scene.add_quad((-5, -5, 1.0), (0, 10, 0), (10, 0, 0), gray(100))  # seen from behind
    image, depth = render(scene, PINHOLE, AT_ORIGIN)
    assert depth[59, 80] == pytest.approx(2.0) and depth[59, 5] == pytest.approx(4.0)
    assert image[59, 80].tolist() == [200] * 3 and image[59, 5].tolist() == [50] * 3


def test_a_quad_that_passes_the_camera_is_cut_not_mirrored():
    scene = Scene()
    scene.add_quad((-50, 1.5, 50.0), (100, 0, 0), (0, 0, -100), WHITE)  # a floor, half of it behind the camera
    _, depth = render(scene, PINHOLE, AT_ORIGIN)
    assert not depth[:58].any() and (depth[70:] > 0).all()
    assert depth[110, 80] == pytest.approx(1.5 * 140 / (110 - 59.1), rel=1e-4)


def test_a_texture_lies_where_its_quad_says():
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 240
    scene = Scene(sky=np.zeros(3), ambient=1.0)
    scene.add_quad((-1, -1, 2.0), (2, 0, 0), (0, 2, 0), Surface(Texture(halves)), repeats=(1.0, 1.0))
    row = render(scene, PINHOLE, AT_ORIGIN)[0][59, :, 0].astype(float)
    edge = np.interp(120, row[40:120], np.arange(40, 120))
    assert edge == pytest.approx(80.2, abs=0.05)


def test_fine_texture_far_away_turns_gray_instead_of_shimmering():
    checker = (np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)
    scene = Scene(ambient=1.0)
    scene.add_quad((-20, -20, 30.0), (40, 0, 0), (0, 40, 0), Surface(Texture(np.repeat(checker[..., None], 3, 2)), 2.0))
    image, _ = render(scene, PINHOLE, AT_ORIGIN)
    assert image.std() < 2 and image.mean() == pytest.approx(127, abs=3)


def two_views(make_scene, seed):
    rng = np.random.default_rng(seed)
    scene = make_scene(rng)
    return scene, sample_views_of_a_place(scene, PINHOLE, rng, 2)


@pytest.mark.parametrize("make_scene", [make_room, make_facade, make_street])
def test_two_views_agree_on_depth_and_colour(make_scene):
    scene, (first, second) = two_views(make_scene, seed=3)
    (image1, depth1), (image2, depth2) = (render(scene, PINHOLE, pose) for pose in (first, second))
    index1, _ = find_surfaces(scene, PINHOLE, first)
    index2, _ = find_surfaces(scene, PINHOLE, second)
    ys, xs = np.nonzero(depth1)
    points = PINHOLE.rays(np.stack([xs, ys], 1)) * depth1[ys, xs, None]
    moved = transform_points(second * first.inverse(), points)
    pixels = np.nan_to_num(PINHOLE.project(moved), nan=-9).round().astype(int)
    inside = ((pixels >= 1) & (pixels < [159, 119])).all(1)
    xs, ys, (u, v), z = xs[inside], ys[inside], pixels[inside].T, moved[inside, 2]
    same = index1[ys, xs] == index2[v, u]
    assert same.mean() > 0.3, "the two views hardly overlap"
    # Whatever is hidden is hidden by something nearer, up to a pixel of rounding: nothing is seen through a surface.
    nearest = cv2.erode(np.where(depth2 > 0, depth2, 1e6).astype(np.float32), np.ones((3, 3)))
    assert (nearest[v, u][~same] < z[~same] * 1.02).mean() > 0.98
    np.testing.assert_allclose(np.median(depth2[v, u][same] / z[same]), 1.0, atol=2e-3)
    difference = np.abs(image1[ys, xs].astype(float) - image2[v, u])[same]
    assert np.median(difference) < 12


@pytest.mark.parametrize("make_scene", [make_room, make_facade, make_street])
def test_scenes_follow_their_seed_and_have_no_nan(make_scene):
    scene, (pose, _) = two_views(make_scene, seed=11)
    again, (pose_again, _) = two_views(make_scene, seed=11)
    image, depth = render(scene, PINHOLE, pose)
    image_again, depth_again = render(again, PINHOLE, pose_again)
    np.testing.assert_array_equal(image, image_again)
    np.testing.assert_array_equal(depth, depth_again)
    index, planes = find_surfaces(scene, PINHOLE, pose)
    assert np.isfinite(depth).all() and (depth >= 0).all() and np.isfinite(planes).all()
    np.testing.assert_array_equal(depth > 0, index != NOTHING)
    assert scene.clearance_m(pose.tgt_origin_in_src()) > 0.2


def test_an_empty_scene_is_sky():
    image, depth = render(Scene(sky=np.array([10, 20, 30])), PINHOLE, AT_ORIGIN)
    assert not depth.any() and (image == [10, 20, 30]).all()


def test_edges_that_are_no_rectangle_are_refused():
    with pytest.raises(ValueError, match="rectangle"):
        Scene().add_quad((0, 0, 0), (1, 0, 0), (1, 1, 0), WHITE)


@pytest.mark.parametrize(
    "maker", sorted({*textures.WALLS, *textures.FLOORS, *textures.OBJECTS, *textures.PRINTS}, key=str)
)
def test_textures_have_their_shape_and_follow_their_seed(maker):
    first, again = (maker(np.random.default_rng(5)) for _ in range(2))
    assert first.shape == (textures.SIDE_PX, textures.SIDE_PX, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)


def test_look_at_puts_the_target_on_the_optical_axis():
    pose = look_at(np.array([1.0, 2.0, 3.0]), np.array([4.0, 6.0, 3.0]))
    np.testing.assert_allclose(transform_points(pose, np.array([[4.0, 6.0, 3.0]])), [[0, 0, 5]], atol=1e-9)
    np.testing.assert_allclose(pose.rotation.matrix() @ [0, 0, -1.0], [0, 1, 0], atol=1e-9)  # down is +y
