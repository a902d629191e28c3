"""What a map says of its origin comes back as it was written, and damage to it is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deviloc_ros.maps.provenance import ARBITRARY_SCALE, Provenance, join_provenances

FIELDS = (
    *("deviloc_ros", "landmarks_per_view", "weights_id", "descriptor_id", "changes", "merged"),
    *("matcher", "descriptor_size"),
)
texts = st.text(max_size=20)
entries = st.lists(st.dictionaries(texts, st.integers() | texts, max_size=3), max_size=3).map(tuple)
notes = st.dictionaries(texts.filter(lambda subject: subject not in FIELDS), texts, max_size=4)
provenances = st.builds(
    *(Provenance, texts, texts, texts, st.none() | st.floats(0, 1e6), entries, entries, notes, texts),
    st.none() | st.integers(1, 1024),
)


@given(provenances)
def test_what_is_written_is_read(provenance):
    assert Provenance.from_dict(provenance.to_dict()) == provenance


@pytest.mark.parametrize("key", FIELDS)
@given(value=st.sampled_from([True, {}, [3], [None], b""]))
def test_values_of_another_kind_are_named(key, value):
    if key in ("landmarks_per_view", "descriptor_size") and value is True:
        return  # a bool is a number to Python and to JSON readers of ours
    with pytest.raises(ValueError, match="provenance"):
        Provenance.from_dict({key: value})


@pytest.mark.parametrize("content", [None, [], "text", 3])
def test_what_is_no_object_is_refused(content):
    with pytest.raises(ValueError, match="provenance"):
        Provenance.from_dict(content)


def test_a_change_adds_and_a_note_replaces():
    built = Provenance("0.1", "w", notes={"pose fit": "0.1 px", "frame": "camera"})
    later = built.add_change(added=3).add_notes({"frame": "floor"}).append_pose_fit("3 added: 0.2 px")
    assert [change["added"] for change in later.changes] == [3]
    assert later.notes == {"pose fit": "0.1 px; 3 added: 0.2 px", "frame": "floor"}
    assert built.changes == () and built.notes["frame"] == "camera"


def test_joined_maps_keep_what_each_says_where_they_differ():
    one = Provenance("0.1", "w", "d", notes={"scale": ARBITRARY_SCALE, "timing": "in time"})
    other = Provenance("0.2", "w", "d", notes={"scale": "arbitrary too", "timing": "in time"})
    joined = join_provenances([("a", one), ("b", other)], [{"views": 1}, {"views": 2}])
    assert joined.networks == ("w", "d") and not joined.is_metric
    assert joined.notes == {"scale": ARBITRARY_SCALE, "timing": "in time"} and len(joined.merged) == 2
