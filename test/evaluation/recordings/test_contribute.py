"""`evaluate-bag --contribute` keeps what the node would."""

import pytest
from bags_of_others import TRUTH, drive
from ros.stand_in import StandInLocalizer
from test_cli import assert_one_line, status_of

from deviloc_ros.bags.bag_plan import TruthSource, index_bag
from deviloc_ros.bags.reader import Recording
from deviloc_ros.config import ContributeConfig, TrackingConfig
from deviloc_ros.evaluation.recordings.bag_run import EvaluationPlan, read_truth, run_offline, summarize_run
from deviloc_ros.evaluation.recordings.headline import make_headline
from deviloc_ros.sources.contributions import read_contributions
from deviloc_ros.tracking.contributor import Contributor


def test_images_are_kept_and_counted(tmp_path):
    """The robot drives from 1 to 2.1 m, its map's only view stands at 0; three images confirm the first pose."""
    plan = EvaluationPlan(truth=TruthSource(topic=TRUTH))
    contributor = Contributor(tmp_path / "kept", ContributeConfig(spacing_m=0.45))
    with Recording(drive(tmp_path / "bag")) as recording:
        indexed = index_bag(recording, plan)
        truth = read_truth(indexed, plan)
        given = indexed, plan, StandInLocalizer(), TrackingConfig()
        estimates, about = run_offline(*given, contributor=contributor)
        run = summarize_run(indexed, plan, truth, estimates, about)
    entries, _ = read_contributions(tmp_path / "kept")
    assert [round(e.cam_from_world.tgt_origin_in_src()[0], 3) for e in entries] == [1.2, 1.7]
    assert dict(make_headline(run))["kept for the map"].startswith("2 images")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--real-time", "--contribute", "kept"), "--real-time takes no --contribute"),
        (("--real-time", "--gnss-topic", "/fix"), "--real-time takes no --gnss-topic"),
        (("--contribute", "file"), "cannot be written to"),
        (("--set", "contribute.budget_mb=0.0"), "contribute.budget_mb = 0.0"),
    ],
)
def test_flags_that_do_not_fit_are_named(room_folder, tmp_path, capsys, monkeypatch, flags, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    bag = drive(tmp_path / "bag")
    assert status_of("evaluate-bag", bag, "--map", room_folder, "--output", tmp_path / "run", *flags) == 2
    assert_one_line(capsys, says)


def test_several_recordings_are_not_kept_in_one_folder(room_folder, tmp_path, capsys):
    bags = drive(tmp_path / "one"), drive(tmp_path / "two")
    given = ("--map", room_folder, "--output", tmp_path / "run", "--contribute", tmp_path / "kept")
    assert status_of("evaluate-bag", *bags, *given) == 2
    assert_one_line(capsys, "--contribute is for one recording")
