"""What can go wrong, as one tree.

::

    FoldrecError
    ├── DataError             a table that cannot be used: names file, line and column
    ├── ConfigError           a hyperparameter or option out of its range
    ├── TrainingError         a fit that went wrong: NaN, an exploding loss
    ├── ArtifactError         an artifact that is missing, damaged or of an unknown schema
    │   └── NoArtifactError   nothing has been published yet
    └── RequestError          a question that cannot be answered as asked
        ├── UnknownUserError
        └── UnknownItemError

Every message names the offending value and the remedy; none of these ever reaches a user as a traceback.
"""


class FoldrecError(Exception):
    """Base of every error that this project raises on purpose."""


class DataError(FoldrecError):
    """An input table that cannot be used."""


class ConfigError(FoldrecError):
    """A hyperparameter or option outside its range."""


class TrainingError(FoldrecError):
    """A fit that went wrong; nothing is published."""


class ArtifactError(FoldrecError):
    """An artifact that is missing, damaged or of an unknown schema."""


class NoArtifactError(ArtifactError):
    """No artifact has been published in this directory yet."""


class RequestError(FoldrecError):
    """A question that cannot be answered as asked."""


class UnknownUserError(RequestError):
    """A user id that the model has never seen."""


class UnknownItemError(RequestError):
    """An item id that the model has never seen."""
