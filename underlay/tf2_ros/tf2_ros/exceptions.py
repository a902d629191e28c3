"""What a lookup can raise; catch `TransformException` for all of it."""


class TransformException(Exception):
    """Base of all transform errors."""


class LookupException(TransformException):
    """A frame has never been heard of, or the tree has a loop."""


class ConnectivityException(TransformException):
    """Both frames exist, but no chain of transforms joins them."""


class ExtrapolationException(TransformException):
    """The chain exists, but not at the requested time."""


class InvalidArgumentException(TransformException):
    """A frame name is empty or starts with a slash."""


class TimeoutException(TransformException):
    """A wait ended without an answer."""
