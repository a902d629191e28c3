"""Which images a follower keeps for its map: where it is sure, the map is thin or far, and nothing like it is kept."""

from dataclasses import replace

import numpy as np
import pycolmap
import pytest
from ros.stand_in import StandInLocalizer, cam_from_map
from worlds import rigid_of

from deviloc_ros.camera import Camera
from deviloc_ros.config import ContributeConfig, TrackingConfig
from deviloc_ros.masks import Mask
from deviloc_ros.sources.contributions import read_contributions
from deviloc_ros.tracking.contributor import Contributor, entry_name
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.tracking.rig_images import StampedImage

NOW_NS = 1_700_000_000_000_000_000
CAMERA = Camera("PINHOLE", 64, 48, (60.0, 60.0, 31.5, 23.5))
TICK_NS = 1_000_000_000


class Drive:
    """A follower that keeps images; brightness v puts the camera at v / 10 m."""

    def __init__(self, folder, confirmations=1, **config) -> None:
        self.localizer = StandInLocalizer()
        self.contributor = Contributor(folder, ContributeConfig(**config))
        self.follower = Follower(
            self.localizer,
            TrackingConfig(confirmations=confirmations, max_speed_m_per_s=100.0),
            contributor=self.contributor,
        )
        self.folder, self.now_ns = folder, NOW_NS

    def see(self, brightness, mask=None):
        self.now_ns += TICK_NS
        pixels = np.full((48, 64), brightness, np.uint8)
        image = StampedImage(self.now_ns, pixels, CAMERA, pycolmap.Rigid3d(), mask)
        return self.follower.follow([image], lambda *_: None, self.now_ns)

    @property
    def kept(self) -> list[float]:
        """x [m] of what is kept."""
        if not any(self.folder.glob("*.json")):
            return []
        return [round(e.cam_from_world.tgt_origin_in_src()[0], 3) for e in read_contributions(self.folder)[0]]


def test_images_far_from_the_views_are_kept_a_spacing_apart(tmp_path):
    """The map's only view stands at 0."""
    drive = Drive(tmp_path, few_inliers=0, far_view_m=0.5, spacing_m=0.25)
    for brightness in (2, 4, 6, 7, 8, 9, 12):
        drive.see(brightness)
    assert drive.kept == [0.6, 0.9, 1.2] and drive.follower.contributed.startswith("3 images, 0.0 MB")


def test_images_that_rest_on_few_inliers_are_kept_near_views_too(tmp_path):
    drive = Drive(tmp_path, few_inliers=10, far_view_m=100.0)
    drive.see(3)
    assert drive.kept == [0.3]


def test_what_is_not_believed_or_not_sure_is_not_kept(tmp_path):
    drive = Drive(tmp_path, confirmations=2)
    assert drive.see(50).fix is None and drive.kept == []
    drive.see(51)
    assert drive.kept == [5.1]
    unsure = Drive(tmp_path / "unsure", max_position_std_m=0.005)  # the stand-in is sure to 1 cm
    assert unsure.see(50).fix is not None and unsure.kept == []


def test_a_full_folder_keeps_what_the_map_knows_least(tmp_path):
    Drive(tmp_path / "one").see(10)
    size = sum(path.stat().st_size for path in (tmp_path / "one").iterdir()) + 10
    drive = Drive(tmp_path / "kept", budget_mb=2 * size / 1e6)
    for brightness, inliers in ((10, 40), (20, 90), (30, 70), (40, 20), (50, 95)):
        rest_on(drive.localizer, inliers)
        drive.see(brightness)
    assert sum(path.stat().st_size for path in drive.folder.iterdir()) <= 2 * size
    assert drive.kept == [1.0, 4.0]


def rest_on(localizer, inliers: int) -> None:
    """Make its poses rest on so many inliers."""

    def localize(image, *query, **more):
        result = StandInLocalizer.localize(localizer, image, *query, **more)
        return replace(result, evidence=replace(result.evidence, inlier_mask=np.ones(inliers, bool)))

    localizer.localize = localize


def test_what_was_kept_before_a_restart_counts(tmp_path):
    Drive(tmp_path).see(50)
    again = Drive(tmp_path)
    again.see(51)
    assert again.kept == [5.0] and again.contributor.summary.startswith("1 images")


def test_the_mask_of_an_image_is_kept_with_it(tmp_path):
    hidden = np.zeros((48, 64), bool)
    hidden[:, :30] = True
    Drive(tmp_path).see(50, mask=Mask(hidden=hidden))
    ((entry,), _) = read_contributions(tmp_path)
    assert not entry.mask.read((64, 48))[:, :30].any() and entry.mask.read((64, 48))[:, 50:].all()


def test_each_camera_of_a_rig_is_kept_with_its_own_pose(tmp_path):
    contributor = Contributor(tmp_path, ContributeConfig())
    follower = Follower(StandInLocalizer(), TrackingConfig(confirmations=1), contributor=contributor)
    mounts = {"front": rigid_of((0, 0, 0), (0, 0, 0)), "left": rigid_of((0, 0, 0), (0.5, 0, 0))}
    images = [
        StampedImage(NOW_NS, np.full((48, 64), value, np.uint8), CAMERA, mounts[name], name=name)
        for name, value in (("front", 50), ("left", 55))
    ]
    step = follower.follow(images, lambda *_: Odometry(pycolmap.Rigid3d()), NOW_NS)
    assert step.fix is not None
    entries = {entry.name: entry for entry in read_contributions(tmp_path)[0]}
    assert sorted(entries) == [f"{NOW_NS}-front", f"{NOW_NS}-left"]
    for name, brightness in (("front", 50), ("left", 55)):
        pose = entries[f"{NOW_NS}-{name}"].cam_from_world
        np.testing.assert_allclose(pose.matrix(), cam_from_map(brightness).matrix(), atol=1e-9)


def test_a_disk_that_fails_is_said_and_nothing_ends(tmp_path):
    drive = Drive(tmp_path / "kept")
    (tmp_path / "kept").rename(tmp_path / "gone")
    (tmp_path / "kept").write_text("no folder")
    assert drive.see(50).fix is not None
    assert "contribute_path" in drive.follower.contribution_problem and str(tmp_path) in drive.contributor.problem
    with pytest.raises(ValueError, match=r"contribute_path .*kept: cannot be written to"):
        Contributor(tmp_path / "kept", ContributeConfig())


def test_a_mask_that_cannot_be_read_takes_no_pose_away(tmp_path):
    drive = Drive(tmp_path)
    assert drive.see(50, Mask(tmp_path / "gone.png")).fix is not None
    assert "gone.png" in drive.follower.contribution_problem and drive.kept == []


def test_what_somebody_took_out_of_a_full_folder_leaves_room(tmp_path):
    drive = Drive(tmp_path, budget_mb=0.001)
    rest_on(drive.localizer, 10)
    drive.see(10)
    rest_on(drive.localizer, 90)
    drive.see(20)
    assert drive.kept == [1.0]
    for file in tmp_path.iterdir():
        file.unlink()
    drive.see(30)
    assert drive.kept == [3.0]


def test_names_of_cameras_are_names_of_files():
    assert entry_name(5, "") == "5" and entry_name(5, "/front/image") == "5-front_image"
    assert "/" not in entry_name(5, "../../etc/passwd")
