"""Markers in the images of a map put it where they were surveyed; one that was taken for another is named."""

from dataclasses import replace

import cv2
import numpy as np
import pycolmap
import pytest
import yaml
from small_maps import reference_view, write_map
from test_cli import assert_one_line, status_of

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import transform_points
from deviloc_ros.maps.alignment.fiducial_markers import CORNERS, fit_markers, read_survey
from deviloc_ros.maps.alignment.similarity import move_points
from deviloc_ros.maps.store import Map
from deviloc_ros.sources.base import SourceError
from deviloc_ros.synthetic.trajectory import look_at

SIDE_M = 0.2
CAMERA = Camera("PINHOLE", 640, 480, (525.0, 525.0, 319.5, 239.5))
FAMILY = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_APRILTAG_36h11)
# On a wall at y = 2 that faces the cameras: x to the right, y up, z towards them.
UPRIGHT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
PLACES = {3: (-0.5, 2.0, 0.3), 7: (0.5, 2.2, 0.4), 11: (0.0, 1.9, -0.4), 20: (-0.4, 2.1, -0.3), 31: (0.6, 1.8, -0.2)}
# The map's frame is another one, and its unit too.
MAP_FROM_WANTED = pycolmap.Sim3d(0.37, pycolmap.Rotation3d(np.array([0.2, -0.4, 1.1])), np.array([3.0, -1.0, 0.5]))


def corners_of(place):
    return transform_points(pycolmap.Rigid3d(pycolmap.Rotation3d(UPRIGHT), np.array(place)), SIDE_M * CORNERS)


def photograph(cam_from_wanted: pycolmap.Rigid3d, places) -> np.ndarray:
    """A grey wall with markers, drawn by the homography of each."""
    image = np.full((CAMERA.height, CAMERA.width), 140, np.uint8)
    for number, place in places.items():
        pixels = CAMERA.project(transform_points(cam_from_wanted, corners_of(place))).astype(np.float32)
        drawn = np.pad(cv2.aruco.generateImageMarker(FAMILY, number, 320), 64, constant_values=255)
        border = np.array([[64, 64], [384, 64], [384, 384], [64, 384]], np.float32) - 0.5
        to_image = cv2.getPerspectiveTransform(border, pixels)
        size = (CAMERA.width, CAMERA.height)
        warped = cv2.warpPerspective(drawn, to_image, size, flags=cv2.INTER_AREA)
        inside = cv2.warpPerspective(np.full_like(drawn, 255), to_image, size) > 0
        image[inside] = warped[inside]
    return cv2.GaussianBlur(image, (3, 3), 0)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """A map in another frame and unit, and the folder of its images."""
    folder = tmp_path_factory.mktemp("markers")
    views = []
    for number, x in enumerate((-0.8, -0.3, 0.2, 0.7)):
        cam_from_wanted = look_at(np.array([x, 0.0, 0.1 * number]), np.array([0.0, 2.0, 0.0]))
        view, landmarks = reference_view(number)
        cv2.imwrite(str(folder / f"{view.name}.png"), photograph(cam_from_wanted, PLACES))
        turned = cam_from_wanted.rotation * MAP_FROM_WANTED.rotation.inverse()
        centre = MAP_FROM_WANTED * cam_from_wanted.tgt_origin_in_src()
        cam_from_map = pycolmap.Rigid3d(turned, -(turned.matrix() @ centre))
        views.append((replace(view, name=f"{view.name}.png", camera=CAMERA, cam_from_world=cam_from_map), landmarks))
    write_map(folder / "a.map", views)
    return Map.open(folder / "a.map"), folder


def survey_file(path, places=PLACES, with_orientation=True, **changes):
    quaternion = pycolmap.Rotation3d(UPRIGHT).quat.tolist()
    tags = {
        number: {"position": list(place)} | ({"orientation": quaternion} if with_orientation else {})
        for number, place in places.items()
    }
    path.write_text(yaml.safe_dump({"dictionary": "APRILTAG_36h11", "size_m": SIDE_M, "tags": tags} | changes))
    return path


def test_a_survey_that_says_something_twice_is_refused(tmp_path):
    path = survey_file(tmp_path / "tags.yaml")
    path.write_text(path.read_text() + "  7:\n    position: [1, 2, 3]\n")
    with pytest.raises(SourceError, match=r"tags\.yaml: '7' is given twice"):
        read_survey(path)


@pytest.mark.parametrize("where", ["position", "orientation"])
def test_a_survey_that_aliases_make_endless_is_refused(tmp_path, where):
    grown = "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(24))
    tag = "position: [1, 2, 3], orientation: [0, 0, 0, 1]".replace(f"{where}: [", f"{where}: *y, x: [")
    text = f"a: &a [1.0]\n{grown}dictionary: APRILTAG_36h11\nsize_m: 0.1\ntags: {{7: {{{tag}}}}}\n"
    (tmp_path / "tags.yaml").write_text(text)
    with pytest.raises(SourceError, match=rf"{where} of 2 entries: expected X, Y, Z"):
        read_survey(tmp_path / "tags.yaml")


def assert_right(wanted_from_world):
    """Scale within 0.5 %, and surveyed corners within 1 cm."""
    assert wanted_from_world.scale * MAP_FROM_WANTED.scale == pytest.approx(1, abs=0.005)
    for place in PLACES.values():
        in_map = move_points(MAP_FROM_WANTED, corners_of(place))
        assert np.abs(move_points(wanted_from_world, in_map) - corners_of(place)).max() < 0.01


@pytest.mark.parametrize("with_orientation", [True, False])
def test_markers_put_the_map_where_they_were_surveyed(mapped, tmp_path, with_orientation):
    survey = read_survey(survey_file(tmp_path / "tags.yaml", with_orientation=with_orientation))
    wanted_from_world, words = fit_markers(*mapped, survey, quiet=True)
    assert_right(wanted_from_world)
    assert "as 5 markers have it" in words and "left out" not in words


def test_one_marker_with_its_orientation_is_enough(mapped, tmp_path):
    survey = read_survey(survey_file(tmp_path / "tags.yaml", places={7: PLACES[7]}))
    assert fit_markers(*mapped, survey, quiet=True)[0].scale * MAP_FROM_WANTED.scale == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("wrong", sorted(PLACES))
def test_a_marker_that_was_taken_for_another_is_left_out_and_named(mapped, tmp_path, wrong):
    places = PLACES | {wrong: (5.0, 5.0, 5.0)}
    wanted_from_world, words = fit_markers(*mapped, read_survey(survey_file(tmp_path / "t.yaml", places)), quiet=True)
    assert_right(wanted_from_world)
    assert "as 4 markers have it" in words and f"another id or a wrong survey: {wrong} (" in words


def test_markers_that_contradict_each_other_or_are_not_there_are_said(mapped, tmp_path):
    scattered = {n: tuple(np.random.default_rng(n).uniform(-9, 9, 3).tolist()) for n in PLACES}
    with pytest.raises(SourceError, match="do not determine a frame"):
        fit_markers(*mapped, read_survey(survey_file(tmp_path / "a.yaml", scattered)), quiet=True)
    with pytest.raises(SourceError, match=r"seen: \[3, 7, 11, 20, 31\]; surveyed: \[99\]"):
        fit_markers(*mapped, read_survey(survey_file(tmp_path / "b.yaml", {99: (0, 0, 0)})), quiet=True)
    with pytest.raises(SourceError, match="no image of the map is there"):
        fit_markers(mapped[0], tmp_path, read_survey(survey_file(tmp_path / "c.yaml")), quiet=True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dictionary": "UNHEARD_OF"}, "UNHEARD_OF"),
        ({"size_m": -1.0}, "size_m"),
        ({"size_m": "wide"}, "wide"),
        ({"tags": {}}, "no tags"),
        ({"tags": {1: {"position": [1, 2]}}}, "position"),
        ({"tags": {1: {}}}, "'position' is missing"),
        ({"tags": {"left": {"position": [1, 2, 3]}}}, "left"),
        ({"tags": {1: {"position": [1, 2, 3], "orientation": [0, 0, 0, 0]}}}, "tags.yaml"),
        ({"tags": [1, 2]}, "expected tags by their number, got [1, 2]"),
        ({"tags": {1: None}}, "expected a position, got None"),
        ({"tags": {7: {"position": [1, 2, 3]}, "7": {"position": [1, 2, 4]}}}, "tag 7 stands there twice"),
        ({"tags": {1: {"position": [1, 2, 1e300]}}}, "tag 1: position"),
        ({"tags": {1: {"position": [1, True, 3]}}}, "tag 1: position"),
        ({"size_m": True}, "size_m"),
    ],
)
def test_a_survey_that_cannot_be_read_is_named(tmp_path, changes, says):
    with pytest.raises(SourceError, match=r"tags\.yaml") as error:
        read_survey(survey_file(tmp_path / "tags.yaml", **changes))
    assert says in str(error.value)


def test_map_align_takes_markers(mapped, tmp_path, capsys):
    reference_map, images = mapped
    arguments = ("map", "align", reference_map.folder, "--tags", survey_file(tmp_path / "tags.yaml"))
    assert status_of(*arguments, "--output", tmp_path / "b.map") == 2
    assert_one_line(capsys, "--tags needs --images")
    assert status_of(*arguments, "--images", images, "--output", tmp_path / "b.map") == 0
    assert "as 5 markers have it" in capsys.readouterr().out
    centre = Map.open(tmp_path / "b.map").records[0].cam_from_world.tgt_origin_in_src()
    assert np.allclose(centre, [-0.8, 0.0, 0.0], atol=0.02)


@pytest.mark.parametrize("name", [-1, 587, 10**6, 10**30, 1.5, True, None, "x", "-7", ""])
def test_a_tag_that_the_dictionary_does_not_have_is_named(tmp_path, name):
    with pytest.raises(SourceError, match=r"tags\.yaml: tag .*: APRILTAG_36h11 has tags 0 to 586"):
        read_survey(survey_file(tmp_path / "tags.yaml", tags={name: {"position": [1, 2, 3]}}))


def list_places(value, place=()):
    """Where in nested values something stands."""
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield from list_places(one, (*place, name))


def put(value, place, other):
    """The same with another value in one place."""
    if not place:
        return other
    changed = value.copy()
    changed[place[0]] = put(value[place[0]], place[1:], other)
    return changed


SURVEYED = {"position": [1.0, 2.0, 3.0], "orientation": [0.0, 0.0, 0.0, 1.0], "size_m": 0.3}
SURVEY = {"dictionary": "4X4_50", "size_m": 0.2, "tags": {1: SURVEYED, 2: {"position": [4.0, 5.0, 6.0]}}}


@pytest.mark.parametrize("place", list(list_places(SURVEY)), ids=str)
def test_a_value_of_another_kind_is_refused_in_words_that_are_not_python_s(tmp_path, place):
    for other in (None, True, [], {}, "abc", [1, 2], {"a": 1}, [None] * 3, float("nan"), float("inf"), 1e300, -1.0):
        path = tmp_path / "tags.yaml"
        path.write_text(yaml.safe_dump(put(SURVEY, place, other)))
        try:
            survey = read_survey(path)
        except SourceError as error:
            words = ("object", "attribute", "indices", "argument", "literal", "convert", "subscript", "unpack")
            assert str(error).startswith(f"{path}: ") and not any(word in str(error) for word in words)
        else:
            assert other == -1.0 and all(np.isfinite(marker.corners).all() for marker in survey.markers.values())
