"""Errors of the work, where what was asked for was right."""

from __future__ import annotations

from pose2id.errors import Pose2IdError


class WorkFailedError(Pose2IdError):
    """What was asked for was right, but the work on it did not get through: exit code 1."""
