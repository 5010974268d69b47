"""An example with a third-party package (``pip install requests``) and a web service."""

from typing import Any


def sk(code: str) -> Any:
    """Return the current weather of a Chinese city.

    Args:
        code: The city's code, for example "101010100" for Beijing.
    """
    # Imported here, so that the module can be loaded, and other methods in it called, without it.
    import requests  # noqa: PLC0415

    url = f"http://www.weather.com.cn/data/sk/{code}.html"
    response = requests.get(url, timeout=5)
    response.raise_for_status()
    response.encoding = "utf-8"  # the server does not say so
    return response.json()
