"""Define a map's provenance: the program and networks that made it, later changes, and notes on poses and scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from deviloc_ros import __version__
from deviloc_ros.io.units import Unit

ARBITRARY_SCALE = "arbitrary: lengths are not metres; see `map align`, --known-distance"
ID_LENGTH = 16  # characters kept of a map's identity
# Subjects of notes
SCALE, POSE_FIT, POSE_ERRORS, DEPTH, BODY = "scale", "pose fit", "pose errors", "depth", "body in view"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Hold a map's origin.

    program: the version of deviloc_ros that built it. weights_id: of the matcher's weights. descriptor_id: of the
    network that described the views, if any. landmarks_per_view: on average. changes: since it was built, oldest first.
    merged: the maps it was merged from. notes: on poses, scale, timing, …, by subject. matcher, descriptor_size: the
    matcher's name and the length of its descriptors; empty and None in maps of releases that did not store them.
    """

    program: str = ""
    weights_id: str = ""
    descriptor_id: str = ""
    landmarks_per_view: float | None = None
    changes: tuple[Mapping[str, Any], ...] = ()
    merged: tuple[Mapping[str, Any], ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    matcher: str = ""
    descriptor_size: int | None = None

    @property
    def is_metric(self) -> bool:
        """Return whether lengths are metres, as far as it is known."""
        return not str(self.notes.get(SCALE, "")).startswith("arbitrary")

    @property
    def unit(self) -> Unit:
        """Return the unit of lengths."""
        return Unit.METRE if self.is_metric else Unit.ARBITRARY

    @property
    def networks(self) -> tuple[str, str]:
        """Return the identities of the networks that must be used with the map: matcher and global descriptor."""
        return self.weights_id, self.descriptor_id

    def add_change(self, before: str = "", **change: int) -> Provenance:
        """Return this provenance with one more change, made by this release.

        Args:
            before: the map's identity before the change.
        """
        what = {"deviloc_ros": __version__, **change} | ({"before": before[:ID_LENGTH]} if before else {})
        return replace(self, changes=(*self.changes, what))

    def is_of(self, identity: str) -> bool:
        """Return whether a map of this identity became this one by changes or merging."""
        earlier = [change.get("before") for change in self.changes] + [part.get("identity") for part in self.merged]
        return identity[:ID_LENGTH] in {str(one)[:ID_LENGTH] for one in earlier if one}

    def add_notes(self, notes: Mapping[str, Any]) -> Provenance:
        """Return this provenance with notes that replace those of the same subjects."""
        return replace(self, notes={**self.notes, **notes})

    def append_pose_fit(self, fit: str) -> Provenance:
        """Return this provenance with one more sentence on how well poses fit: one for each addition to a map."""
        said = self.notes.get(POSE_FIT)
        return self.add_notes({POSE_FIT: f"{said}; {fit}" if said else fit})

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest's entry: the fields that are not empty and the notes, in one dict."""
        fields = {
            "deviloc_ros": self.program,
            "landmarks_per_view": self.landmarks_per_view,
            "matcher": self.matcher,
            "descriptor_size": self.descriptor_size,
            "weights_id": self.weights_id,
            "descriptor_id": self.descriptor_id,
            "changes": [dict(change) for change in self.changes],
            "merged": [dict(part) for part in self.merged],
        }
        return {key: value for key, value in fields.items() if value not in (None, "", [])} | dict(self.notes)

    @classmethod
    def from_dict(cls, content: Any) -> Provenance:
        """Parse a manifest's entry.

        Raises:
            ValueError: a field has the wrong type.
        """
        if not isinstance(content, dict):
            raise ValueError("field 'provenance' is malformed")
        notes = dict(content)
        program, matcher, weights_id, descriptor_id = (
            take_value(notes, key, str, "") for key in ("deviloc_ros", "matcher", "weights_id", "descriptor_id")
        )
        descriptor_size = take_value(notes, "descriptor_size", int, None)
        landmarks_per_view = take_value(notes, "landmarks_per_view", (int, float), None)
        changes, merged = (take_value(notes, key, list, []) for key in ("changes", "merged"))
        if not all(isinstance(entry, dict) for entry in (*changes, *merged)):
            raise ValueError("field 'provenance' is malformed: an entry is not an object")
        what_it_is = program, weights_id, descriptor_id, landmarks_per_view
        return cls(*what_it_is, tuple(changes), tuple(merged), notes, matcher, descriptor_size)


def take_value(content: dict[str, Any], key: str, kind: type | tuple[type, ...], default: Any) -> Any:
    """Pop a value from a dictionary. Raises ValueError naming its key if it has the wrong type."""
    value = content.pop(key, default)
    if value is not default and not isinstance(value, kind):
        raise ValueError(f"field 'provenance': {key!r} is {value!r}")
    return value


def join_provenances(named: Sequence[tuple[str, Provenance]], merged: Sequence[Mapping[str, Any]]) -> Provenance:
    """Return the provenance of merged maps, all made by the same networks.

    If their notes on a subject differ, each is kept with its map's name.

    Args:
        named: name and provenance of each map.
        merged: the entry of each for `Provenance.merged`.
    """
    first = named[0][1]
    notes = {}
    for subject in dict.fromkeys(subject for _, one in named for subject in one.notes):
        said = [(name, one.notes[subject]) for name, one in named if subject in one.notes]
        alike = len(said) == len(named) and all(note == said[0][1] for _, note in said)
        notes[subject] = said[0][1] if alike else "; ".join(f"{name}: {note}" for name, note in said)
    if not first.is_metric:
        notes[SCALE] = ARBITRARY_SCALE
    networks = first.weights_id, first.descriptor_id
    return Provenance(__version__, *networks, None, (), tuple(merged), notes, first.matcher, first.descriptor_size)
