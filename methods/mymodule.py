"""An example of class methods and static methods as RPC methods."""


class MyClass:
    """Call its methods as ``mymodule.MyClass.mymethod`` and ``mymodule.MyClass.join``."""

    greeting = "Hello from"

    @classmethod
    def mymethod(cls) -> str:
        """Return a text that the class is part of."""
        return f"{cls.greeting} {cls.__name__}"

    @staticmethod
    def join(words: list[str], separator: str = " ") -> str:
        """Join words to one text."""
        return separator.join(words)
