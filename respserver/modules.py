"""What MODULE LIST, HELLO and INFO show of a module."""
from dataclasses import dataclass, field


@dataclass(slots=True)
class Module:
    """A part of the server that announces itself as a Redis module does."""

    name: str
    ver: int                    # 81000 stands for 8.10.0
    path: str = ""
    args: list = field(default_factory=list)
