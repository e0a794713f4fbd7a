"""The errors a user can meet; each message says what was received, what is allowed, what to do."""

from __future__ import annotations


class Pose2IdError(Exception):
    """Base of every error that is meant for the user and shown without a traceback."""


class DataError(Pose2IdError):
    """Input data (files, tables, images, labels) is not usable as given."""


class ImageChangedError(Pose2IdError):
    """An image is another one than when it was indexed."""


class WeightsError(Pose2IdError):
    """Weights are missing, truncated, of the wrong shape, or not loadable safely."""


class ParamsError(Pose2IdError, ValueError):
    """A parameter is unknown, missing or outside its allowed values."""


class QualityError(Pose2IdError):
    """A quality gate failed: more rows were rejected than the parameters allow."""


class MissingDependencyError(Pose2IdError):
    """An optional package is needed for what was asked; the message names the extra to install."""
