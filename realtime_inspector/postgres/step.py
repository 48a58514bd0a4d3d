"""One statement or script of those by which `init` prepares a database."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One statement or script. `shown`: what may be printed of it, where that is not all."""

    text: str
    shown: str = ""

    def __str__(self) -> str:
        return (self.shown or self.text).strip().removesuffix(";") + ";"

    @property
    def headline(self) -> str:
        """Its first line of SQL, for messages."""
        return next(line for line in str(self).splitlines() if not line.startswith("--"))
