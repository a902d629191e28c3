"""Match by TopicFM-fast, the matcher of DeViLoc, written for features that are extracted once and stored."""

from deviloc_ros.upstream.topicfm.matcher import TopicFMMatcher

__all__ = ["TopicFMMatcher"]
