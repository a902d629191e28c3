"""TopicFM-fast, the matcher of DeViLoc, written for features that are extracted once and stored."""

from deviloc_ros.matching.topicfm.matcher import TopicFMMatcher

__all__ = ["TopicFMMatcher"]
