"""The paper's training on a tiny data set in the published layout, made by our renderer."""

import argparse
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import transform_points
from deviloc_ros.imaging import ImageError
from deviloc_ros.synthetic.render import render_color, render_depth
from deviloc_ros.upstream.checkpoints import load_network
from deviloc_ros.upstream.pin import UpstreamPin
from deviloc_ros.upstream.releases import PIN
from deviloc_ros.upstream.training.loop import DevilocTraining, Trainer, train_deviloc
from deviloc_ros.upstream.training.losses import QueryTruth, deviloc_loss
from deviloc_ros.upstream.training.megadepth import (
    METADATA,
    POINTS,
    MegaDepth,
    SampleSettings,
    augment_image,
    read_depth,
)
from deviloc_ros.upstream.training.published import PublishedFileError, read_published

CAMERA = Camera("PINHOLE", 160, 128, (131.0, 131.0, 79.5, 63.5))
LANDMARKS = 120
SAMPLES = SampleSettings(references=2, queries_per_scene=4)
SETTINGS = DevilocTraining(batch=1, side_px=160, threshold=0.01, fewest_points=10, save_every=1000, samples=SAMPLES)


def write_scene(folder, scene, poses, name="0001"):
    """Images, depth maps and the authors' two `.npy` files."""
    images, points = {}, {}
    (folder / "phoenix").mkdir(parents=True)
    (folder / POINTS).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, pose in enumerate(poses):
        depth = render_depth(scene, CAMERA, pose)
        cv2.imwrite(str(folder / f"phoenix/{number}.png"), render_color(scene, CAMERA, pose))
        np.save(folder / f"phoenix/{number}.npy", depth.astype(np.float32))
        pixels = rng.integers([0, 0], [CAMERA.width, CAMERA.height], (LANDMARKS, 2))
        in_cam = CAMERA.rays(pixels) * depth[pixels[:, 1], pixels[:, 0], None]
        ids = np.arange(LANDMARKS) + number * LANDMARKS
        world = transform_points(pose.inverse(), in_cam)
        points |= {int(i): np.append(point, 1.0) for i, point in zip(ids, world, strict=True)}
        fx, fy, cx, cy = CAMERA.params
        images[number] = argparse.Namespace(
            img_path=f"/home/author/data/megadepth/phoenix/{number}.png",
            depth_path=f"data/megadepth/phoenix/{number}.npy",
            K=np.array([[fx, 0, cx + 0.5], [0, fy, cy + 0.5], [0, 0, 1]], np.float32),
            R=pose.rotation.matrix(),
            t=pose.translation,
            pts2d=pixels + 0.5,
            pt3d_ids=ids,
            topk=[other for other in range(len(poses)) if 0 < abs(other - number) <= 3],
        )
    np.save(folder / METADATA, {name: {"ims": images, "qids": list(images)}}, allow_pickle=True)
    np.save(folder / POINTS / f"{name}.npy", points, allow_pickle=True)


@pytest.fixture(scope="module")
def tiny(room, tmp_path_factory):
    folder = tmp_path_factory.mktemp("megadepth")
    write_scene(folder, room.scene, [image.cam_from_world for image in room.images])
    return folder


def test_a_sample_is_what_was_written(tiny, room):
    data = MegaDepth(tiny)
    assert data.scenes == ["0001"] and len(data.draw_epoch(SAMPLES, np.random.default_rng(0))) == 4
    query, references = data.draw_sample("0001", 3, replace(SAMPLES, augment=False), np.random.default_rng(0))
    assert query.gray.shape == query.depth.shape == (128, 160) and len(references) == 2
    np.testing.assert_allclose(query.intrinsics[:2, 2], CAMERA.params[2:])
    view = references[0]
    in_cam = view.landmark_points @ view.cam_from_world[:3, :3].T + view.cam_from_world[:3, 3]
    np.testing.assert_allclose(CAMERA.project(in_cam), view.landmark_keypoints, atol=1e-3)
    with pytest.raises(PublishedFileError, match="none of the scenes 9999"):
        MegaDepth(tiny, ("9999",))


def test_training_lowers_the_loss_resumes_bit_for_bit_and_beats_no_training(tiny, tmp_path):
    whole = train_deviloc(tiny, tmp_path / "a/deviloc.safetensors", SETTINGS, "random", steps=20)
    train_deviloc(tiny, tmp_path / "b/deviloc.safetensors", SETTINGS, "random", steps=3)
    resumed = train_deviloc(tiny, tmp_path / "b/deviloc.safetensors", SETTINGS, "random", steps=6)
    # Sums on a GPU are made in no fixed order
    assert resumed.losses == pytest.approx(whole.losses[:6], rel=1e-4 if torch.cuda.is_available() else 0)
    pin, _ = load_network(UpstreamPin, str(tmp_path / "a/deviloc.safetensors"), PIN)
    trainer = Trainer(SETTINGS, "random")
    data, rng = MegaDepth(tiny), np.random.default_rng(7)
    samples = [data.draw_sample("0001", query, SAMPLES, rng) for query in (1, 4)]
    loss, error = trainer.evaluate(samples)
    trainer.pin.load_state_dict(pin.state_dict())
    trained_loss, trained_error = trainer.evaluate(samples)
    assert trained_loss < 0.8 * loss and trained_error < 0.9 * error


def test_the_loss_is_zero_for_true_points_and_counts_only_inferred_ones():
    depth = torch.full((20, 30), 4.0)
    depth[:, 15:] = 6.0
    truth = QueryTruth(torch.tensor([[20.0, 0, 15], [0, 20, 10], [0, 0, 1]]), torch.eye(4), depth)
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    keypoints = torch.stack([x.flatten(), y.flatten()], 1)
    rays = torch.cat([keypoints, torch.ones(600, 1)], 1) @ torch.linalg.inv(truth.intrinsics).T
    points, sure = rays * depth.flatten()[:, None], torch.full((600,), 0.998)
    assert deviloc_loss(keypoints, points, sure, truth)[0] < 2e-3
    off, errors = deviloc_loss(keypoints, points + torch.tensor([0, 0, 0.5]), sure, truth)
    assert abs(float(off) - 0.5) < 2e-3 and len(errors) == 600  # the depths' deviation is 1
    assert len(deviloc_loss(keypoints, points, torch.ones(600), truth)[1]) == 0
    wrong = deviloc_loss(keypoints, points + torch.tensor([10.0, 0, 0]), sure, truth)[0]
    assert wrong > 10 + 0.5 * 6  # sure, and 8 px off


def test_published_files_are_read_without_being_executed(tmp_path):
    content = {
        "a": [1, 2.5, None, True, "text", -7, 2**40],
        3: (
            np.arange(6, dtype=np.int64).reshape(2, 3),
            np.asfortranarray(np.eye(3, dtype=np.float32)),
            np.float64(2.5),
        ),
        "space": argparse.Namespace(x=np.zeros(0), names=np.array(["b", "cc"])),
    }
    np.save(tmp_path / "a.npy", content, allow_pickle=True)
    read = read_published(tmp_path / "a.npy")
    assert read["a"] == content["a"] and read["space"]["names"].tolist() == ["b", "cc"]
    for found, expected in zip(read[3], content[3], strict=True):
        np.testing.assert_array_equal(found, expected)


class Mischief:
    def __reduce__(self):
        return print, ("executed",)


def test_other_files_are_refused_by_name(tiny, tmp_path, capsys):
    np.save(tmp_path / "code.npy", {"a": Mischief()}, allow_pickle=True)
    np.save(tmp_path / "numbers.npy", np.zeros(3))
    (tmp_path / "cut.npy").write_bytes((tiny / METADATA).read_bytes()[:3000])
    (tmp_path / "text.npy").write_text("none")
    for name in ("code", "numbers", "cut", "text", "absent"):
        with pytest.raises(PublishedFileError, match=f"{name}.npy"):
            read_published(tmp_path / f"{name}.npy")
    assert "executed" not in capsys.readouterr().out


def test_depth_maps_are_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py", reason="MegaDepth's own depth maps need h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["depth"] = np.eye(3)
    np.testing.assert_array_equal(read_depth(tmp_path / "a.h5"), np.eye(3))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["disparity"] = np.eye(3)
    (tmp_path / "c.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:500])
    for name in ("b.h5", "c.h5", "d.h5"):
        with pytest.raises(ImageError, match=name):
            read_depth(tmp_path / name)


def test_half_of_the_images_are_augmented():
    gray, rng = np.full((4, 4), 128, np.uint8), np.random.default_rng(0)
    changed = [bool((augment_image(gray, rng) != gray).any()) for _ in range(200)]
    assert 0.4 < np.mean(changed) < 0.6
