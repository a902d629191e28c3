"""Public data sets: small rendered ones in their layouts are read, mapped, localized, scored and submitted."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pycolmap
import pytest
from test_cli import status_of

from deviloc_ros.evaluation.datasets.files import scale_to_file
from deviloc_ros.evaluation.datasets.layouts import (
    list_scene_readers,
    read_7scenes,
    read_aachen,
    read_cambridge,
    read_cmu,
    read_robotcar,
)
from deviloc_ros.sfm.landmarks import triangulate_landmarks
from deviloc_ros.sources.base import PosedImage, SourceError
from deviloc_ros.sources.colmap import build_reconstruction, camera_to_colmap
from deviloc_ros.sources.query_lists import read_intrinsics, read_pairs


def write_model(folder, images, landmarks=None, suffix="txt"):
    """A COLMAP model of posed images; `landmarks` by image name become its points."""
    folder.mkdir(parents=True)
    model = build_reconstruction(images)
    for image in model.images.values():
        observed = landmarks.get(image.name) if landmarks else None
        if observed is not None:
            image.points2D = pycolmap.Point2DList([pycolmap.Point2D(xy + 0.5) for xy in observed.keypoints])
    ids = {}
    for image_id, image in model.images.items() if landmarks else ():
        observed = landmarks[image.name]
        for row, (number, xyz) in enumerate(zip(observed.ids.tolist(), observed.points_in_world, strict=True)):
            if number not in ids:
                ids[number] = model.add_point3D(xyz, pycolmap.Track())
            model.add_observation(ids[number], pycolmap.TrackElement(image_id, row))
    (model.write_text if suffix == "txt" else model.write_binary)(str(folder))


@pytest.fixture(scope="module")
def landmarks(room):
    return triangulate_landmarks(room.images, room.graph)


def copied(images, folder, rename=lambda name: name, scale=1):
    """The images under other names; the files `scale` times as large as the cameras say."""
    renamed = []
    for image in images:
        path = folder / rename(image.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = cv2.imread(str(image.path))
        cv2.imwrite(str(path), cv2.resize(pixels, None, fx=scale, fy=scale) if scale != 1 else pixels)
        renamed.append(replace(image, name=rename(image.name), path=path))
    return renamed


def by_new_name(landmarks, rename):
    return {rename(name): observed for name, observed in landmarks.items()}


def intrinsics_line(name, camera):
    colmap = camera_to_colmap(camera, 1)
    return " ".join(map(str, (name, camera.model, camera.width, camera.height, *colmap.params)))


def write_pairs(path, queries, references):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{query} {reference}\n" for query in queries for reference in references))


QUERY = "view-3.png"


def test_cambridge_scales_its_models_to_the_photographs_and_scores(room, landmarks, tmp_path, capsys):
    images = copied(room.images, tmp_path / "ShopFacade", scale=2)
    model = tmp_path / "CambridgeLandmarks_Colmap_Retriangulated_1024px/ShopFacade"
    mapped = [image for image in images if image.name != QUERY]
    write_model(model / "model_train", mapped, landmarks)
    write_model(model / "empty_all", images)
    (model / "list_query.txt").write_text(f"{QUERY}\n")
    write_pairs(model / "pairs-query-netvlad20.txt", [QUERY], [image.name for image in mapped[:4]])
    scene = read_cambridge(tmp_path, "ShopFacade")
    view = scene.map_images[0]
    assert (view.camera.width, view.camera.focal_px) == (640, 524) and len(scene.map_images) == 6
    original = landmarks[view.name]
    np.testing.assert_allclose(view.landmarks.keypoints, (original.keypoints + 0.5) * 2 - 0.5, atol=1e-4)
    out = tmp_path / "summary.json"
    assert status_of("benchmark", "cambridge", "--data", tmp_path, "--scenes", "ShopFacade", "--json", out) == 0
    (summary,) = json.loads(out.read_text())
    assert summary["localized"] == 1 and summary["wrong_fixes"] == 0 and summary["retrieval"] == "pairs"
    assert "ShopFacade" in capsys.readouterr().out


@pytest.mark.parametrize("version", ["v1.0", "v1.1"])
def test_aachen_writes_what_its_server_reads(room, landmarks, tmp_path, version):
    def rename(name):
        return f"query/night/{name}" if name == QUERY else f"db/{name}"

    images = copied(room.images, tmp_path / "images/images_upright", rename)
    mapped = [image for image in images if image.name.startswith("db/")]
    folder = tmp_path / "3D-models" / f"aachen_{version.replace('v', 'v_').replace('.', '_')}"
    write_model(folder, mapped, by_new_name(landmarks, rename), "bin")
    (tmp_path / "queries").mkdir()
    line = intrinsics_line(rename(QUERY), room.camera)
    (tmp_path / "queries/night_time_queries_with_intrinsics.txt").write_text(f"{line}\n")
    (tmp_path / "queries/day_time_queries_with_intrinsics.txt").write_text("# none\n")
    write_pairs(tmp_path / "pairs/pairs-query-netvlad50.txt", [rename(QUERY)], [image.name for image in mapped[:4]])
    assert read_aachen(tmp_path, version).queries[0].camera == room.camera
    if version == "v1.1":
        out = tmp_path / "submission.txt"
        assert status_of("benchmark", "aachen-v1.1", "--data", tmp_path, "--submission", out) == 0
        name, *numbers = out.read_text().split()
        assert name == QUERY and len(numbers) == 7
        truth = next(image for image in room.images if image.name == QUERY).cam_from_world
        np.testing.assert_allclose([float(n) for n in numbers[4:]], truth.translation, atol=0.1)


def test_robotcar_knows_each_query_by_its_camera(room, landmarks, tmp_path):
    def in_images(name):
        return f"overcast-reference/rear/{name.replace('.png', '.jpg')}"

    copied(room.images, tmp_path / "images", in_images)
    as_png = [replace(image, name=in_images(image.name).replace(".jpg", ".png")) for image in room.images]
    write_model(
        tmp_path / "3D-models/individual/colmap_reconstructions/007_aligned",
        as_png,
        {in_images(name).replace(".jpg", ".png"): observed for name, observed in landmarks.items()},
    )
    (tmp_path / "intrinsics").mkdir()
    for side in ("left", "rear", "right"):
        (tmp_path / f"intrinsics/{side}_intrinsics.txt").write_text("fx 400.0\nfy 401.0\ncx 500.5\ncy 510.5\n")
    queries = tmp_path / "3D-models/individual/queries_per_location"
    queries.mkdir()
    (queries / "queries_location_007.txt").write_text("night/left/12.jpg\n\nnight/rear/12.jpg\n")
    write_pairs(tmp_path / "pairs-query-cosplace20.txt", ["night/left/12.jpg"], ["a", "b"])
    scene = read_robotcar(tmp_path, "007")
    assert [query.submitted for query in scene.queries] == ["left/12.jpg", "rear/12.jpg"]
    assert scene.queries[0].camera.params == (400.0, 401.0, 500.0, 510.0)
    assert all(image.path.is_file() and len(image.landmarks) for image in scene.map_images)
    (queries / "queries_location_007.txt").write_text("night/top/12.jpg\n")
    with pytest.raises(SourceError, match=r"night/top/12.jpg.*no known camera"):
        read_robotcar(tmp_path, "007")


def test_cmu_takes_cameras_from_the_names_of_its_queries(room, landmarks, tmp_path):
    images = copied(room.images, tmp_path / "slice3/database")
    write_model(tmp_path / "slice3/sparse", images, landmarks, "bin")
    (tmp_path / "intrinsics.txt").write_text(f"# id\n{intrinsics_line('c1', room.camera)}\n")
    (tmp_path / "slice3/test-images-slice3.txt").write_text("img_00119_c1_1303398475046031us.jpg\n")
    name = "img_00119_c1_1303398475046031us.jpg"
    write_pairs(tmp_path / "slice3/pairs-query-cosplace10.txt", [f"query/{name}"], [f"database/{images[0].name}"])
    scene = read_cmu(tmp_path, "slice3")
    assert scene.queries[0].camera == room.camera and scene.queries[0].path == tmp_path / "slice3/query" / name
    assert scene.candidates == {name: [images[0].name]} and len(scene.map_images) == 7
    (tmp_path / "slice3/test-images-slice3.txt").write_text("img_00119_c9_1.jpg\n")
    with pytest.raises(SourceError, match=r"img_00119_c9_1.jpg.*no camera"):
        read_cmu(tmp_path, "slice3")


def test_7scenes_has_two_ground_truths_that_are_not_mixed(room, landmarks, tmp_path, capsys):
    def rename(name):
        return f"seq-0{2 if name == QUERY else 1}/frame-00000{name[5]}.color.png"

    images = copied(room.images, tmp_path / "chess", rename)
    model = tmp_path / "7scenes_sfm_triangulated/chess/triangulated"
    write_model(model, images, by_new_name(landmarks, rename), "bin")
    (model / "list_test.txt").write_text(f"{rename(QUERY)}\n")
    write_pairs(
        tmp_path / "7scenes_densevlad_retrieval_top_10/chess_top10.txt", [rename(QUERY)], [rename("view-0.png")]
    )
    scene = read_7scenes(tmp_path, "chess", "dslam")
    assert len(scene.map_images) == 6 and scene.candidates[rename(QUERY)] == [rename("view-0.png")]
    write_pseudo_truth(tmp_path / "pgt/sfm/7scenes", images, rename(QUERY))
    pseudo = read_7scenes(tmp_path, "chess", "sfm")
    assert [query.name for query in pseudo.queries] == [rename(QUERY)] and pseudo.queries[0].camera.focal_px == 262
    error = pseudo.queries[0].cam_from_world.translation - scene.queries[0].cam_from_world.translation
    assert np.abs(error).max() < 1e-6 and pseudo.map_images[0].landmarks is None
    assert status_of("benchmark", "7scenes", "--data", tmp_path) == 2
    assert "--ground-truth dslam or sfm" in capsys.readouterr().err


def write_pseudo_truth(folder, images: list[PosedImage], query: str):
    folder.mkdir(parents=True)
    lines = {"train": "", "test": ""}
    for image in images:
        x, y, z, w = image.cam_from_world.rotation.quat
        numbers = (w, x, y, z, *image.cam_from_world.translation, image.camera.focal_px)
        lines["test" if image.name == query else "train"] += (
            f"{image.name} {' '.join(map(repr, map(float, numbers)))}\n"
        )
    for part, text in lines.items():
        (folder / f"chess_{part}.txt").write_text(text)


def test_the_kitchen_is_a_7scenes_scene_with_both_truths(data):
    scenes = {truth: read_7scenes(data / "7scenes", "redkitchen", truth) for truth in ("dslam", "sfm")}
    for scene in scenes.values():
        assert len(scene.map_images) == 150 and len(scene.queries) == 100
    names = [query.name for query in scenes["dslam"].queries]
    assert names == [query.name for query in scenes["sfm"].queries]
    apart = [
        np.linalg.norm((a.cam_from_world * b.cam_from_world.inverse()).translation)
        for a, b in zip(scenes["dslam"].queries, scenes["sfm"].queries, strict=True)
    ]
    assert 0.005 < np.median(apart) < 0.2


def test_faulty_lists_are_named_by_line(room, tmp_path):
    (tmp_path / "pairs.txt").write_text("a b\n\nc\n")
    with pytest.raises(SourceError, match=r"pairs.txt: line 2: expected 'query reference'"):
        read_pairs(tmp_path / "pairs.txt")
    (tmp_path / "cameras.txt").write_text("a PINHOLE 4 4 1 1 2 2\nb PINHOLE 4 4 1\n")
    with pytest.raises(SourceError, match=r"cameras.txt: line 2: no camera"):
        read_intrinsics(tmp_path / "cameras.txt")
    with pytest.raises(SourceError, match=r"absent.txt: not found.*published-method.md"):
        read_pairs(tmp_path / "absent.txt")
    assert scale_to_file(room.images[0]) is room.images[0]


def test_every_benchmark_has_its_scenes(tmp_path):
    counts = {
        name: len(list_scene_readers(name, tmp_path, [], "dslam"))
        for name in ("7scenes", "cambridge", "robotcar", "cmu")
    }
    assert counts == {"7scenes": 7, "cambridge": 5, "robotcar": 49, "cmu": 14}
