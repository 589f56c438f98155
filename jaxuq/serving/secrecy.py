"""Keys of servers: where each may be sent, and how they are kept out of all that is written, logged or shown.

A server knows the key that it was sent, and whatever it says may repeat it: in a text, an error, a header, a number
that is none. So nothing that came from a server, and no message about it, leaves the client but through `Secrets.hide`.
"""

import base64
import functools
import html
import ipaddress
import logging
import os
import re
import traceback
import unicodedata
import urllib.parse
from collections.abc import Iterator
from typing import Any

from jaxuq.serving.errors import ServingError

KEY_VARIABLES = ("JAXUQ_API_KEY", "OPENAI_API_KEY")
WITHHELD = "*** (withheld: it repeats a key)"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_NO_KEYS = {
    "",
    "empty",
    "none",
    "null",
    "dummy",
    "no-key",
    "not-needed",
    "token",
}  # what people set where none is asked
_LONG = 8  # characters from which on a key is looked for in disguise too


class Secrets:
    """Texts that must not be seen.

    From eight characters on a secret is found in disguise too: in other case, cut by spaces or marks, percent-encoded,
    with the escapes of JSON or HTML, as hexadecimal digits, in base64 at any offset (the header of basic
    authentication). A shorter one is found as a word, exactly.

    Args:
        values: the secrets; empty ones and words such as `none` count as no secret.

    Example:
        >>> Secrets("sk-very-secret").hide("401: wrong key sk-very-secret")
        '401: wrong key ***'
        >>> Secrets("sk-very-secret").hide("seen: c2stdmVyeS1zZWNyZXQ=")
        '*** (withheld: it repeats a key)'
    """

    def __init__(self, *values: str):
        known = sorted({value for value in values if value.casefold() not in _NO_KEYS}, key=len, reverse=True)
        self._values = known
        exact = [
            f"(?i:{re.escape(one)})" if len(one) >= _LONG else rf"(?<![^\W_]){re.escape(one)}(?![^\W_])"
            for one in known
        ]
        self._exact = re.compile("|".join(exact)) if exact else None
        self._bones = [bones for one in known if len(one) >= _LONG and len(bones := _bones(one)) >= _LONG - 2]

    def hide(self, text: str, *, cut: bool = False) -> str:
        """The text without secrets.

        Args:
            text: of any kind.
            cut: whether its end has been cut off, and may be the beginning of a secret.

        Returns:
            The text with `***` for each secret; `WITHHELD` where one is there in disguise.
        """
        if self._exact is None:
            return text
        text = self._exact.sub("***", text)
        if self._bones and any(bones in _bones(view) for view in _views(text) for bones in self._bones):
            return WITHHELD
        if cut:
            for value in self._values:
                for length in range(len(value) - 1, 2, -1):
                    if text.casefold().endswith(value[:length].casefold()):
                        return text[:-length] + "***"
        return text


def _bones(text: str) -> str:
    """Letters and digits alone, in one case and one form."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))


def _views(text: str) -> Iterator[str]:
    """The text, and what it may stand for."""
    yield text
    seen = text
    for _ in range(2):
        decoded = html.unescape(urllib.parse.unquote(_unescaped(seen)))
        if decoded == seen:
            break
        seen = decoded
        yield seen
    joined = re.sub(r"\s+", "", seen)
    for run in re.findall(r"[0-9a-fA-F]{12,}", re.sub(r"[^0-9a-zA-Z]", "", seen)):
        for offset in (0, 1):
            yield bytes.fromhex(run[offset : offset + (len(run) - offset) // 2 * 2]).decode("latin-1")
    for run in re.findall(r"[0-9A-Za-z+/]{10,}", joined.replace("-", "+").replace("_", "/")):
        for offset in range(4):
            part = run[offset : len(run) - ((len(run) - offset) % 4 == 1)]
            yield base64.b64decode(part + "=" * (-len(part) % 4)).decode("latin-1")


def _unescaped(text: str) -> str:
    """With the escapes of JSON read: characters by number, blanks of every kind by letter."""
    numbers = re.sub(
        r"\\+(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))", lambda found: chr(int(found[1] or found[2], 16)), text
    )
    return re.sub(r"\\+[abfnrtv]", " ", numbers)


def environment_secrets() -> Secrets:
    """The secrets of this process: all keys, and the users and passwords of proxies.

    Returns:
        What the environment has now.
    """
    proxies = [os.environ.get(name, "") for one in _PROXIES for name in (one, one.lower())]
    parts = [part for one in proxies if "@" in one for part in _user(one)]
    return _secrets(tuple(os.environ.get(name, "").strip() for name in KEY_VARIABLES) + tuple(parts))


@functools.lru_cache(maxsize=8)
def _secrets(values: tuple[str, ...]) -> Secrets:
    return Secrets(*values)


def _user(url: str) -> list[str]:
    """Passwords of an address, as written and decoded."""
    password = url.rpartition("@")[0].rpartition("//")[2].partition(":")[2]
    return [password, urllib.parse.unquote(password)]


def plain_url(url: str) -> str:
    """An address without what may be secret: user, password, query and fragment.

    Args:
        url: of any form.

    Returns:
        The rest.

    Example:
        >>> plain_url("https://me:pass@host/v1?key=secret")
        'https://host/v1'
    """
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "an address that is none"
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, whatever the network says.

    Args:
        host: name or number, without port.

    Returns:
        True for `localhost`, names under it, 127.0.0.0/8 and ::1.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("127.0.0.1.example.org")
        (True, True, False)
    """
    host = host.strip("[]").rstrip(".").casefold()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def key_for(url: str, *, insecure: bool = False) -> str:
    """The key that may be sent to an address.

    `JAXUQ_API_KEY` belongs to whatever server the user names; `OPENAI_API_KEY` belongs to openai.com, to the host of
    `OPENAI_BASE_URL`, and to servers on this machine. No key crosses a network by plain http.

    Args:
        url: of the server.
        insecure: send it all the same.

    Returns:
        The key; empty where there is none for this server.

    Raises:
        ServingError: the key would be readable on the way, or is none that a header can hold.
    """
    parts = urllib.parse.urlsplit(url)
    host = (parts.hostname or "").casefold()
    own, openai = (os.environ.get(name, "").strip() for name in KEY_VARIABLES)
    base = urllib.parse.urlsplit(os.environ.get("OPENAI_BASE_URL", "")).hostname
    belongs = host == "openai.com" or host.endswith(".openai.com") or host == base or is_loopback(host)
    variable, key = (KEY_VARIABLES[0], own) if own else (KEY_VARIABLES[1], openai if belongs else "")
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        raise ServingError(f"the key in {variable} has a space or a character that no key has; set it again")
    if key and parts.scheme != "https" and not is_loopback(host) and not insecure:
        raise ServingError(
            f"{plain_url(url)} is plain http: the key in {variable} could be read on the way; use https://, unset the "
            "key, or, where the network is yours, say so: --insecure of jaxuq extract, insecure=True in Python"
        )
    return key


class _HidingFilter(logging.Filter):
    """Takes secrets out of records."""

    def filter(self, record: logging.LogRecord) -> bool:
        secrets = environment_secrets()
        try:
            record.msg, record.args = secrets.hide(record.getMessage()), ()
        except (TypeError, ValueError):
            record.msg, record.args = "a record that does not fit its arguments", ()
        if record.exc_info:
            record.exc_text = secrets.hide("".join(traceback.format_exception(*record.exc_info)))
            record.exc_info = None
        return True


_FILTER = _HidingFilter()


def guard_logs(*packages: str) -> None:
    """Have all records of packages, whoever listens to them at whatever level, pass through `Secrets.hide`.

    Args:
        packages: names of packages whose loggers exist already.
    """
    names: list[Any] = list(logging.root.manager.loggerDict)
    for name in {*packages, *(one for one in names if one.partition(".")[0] in packages)}:
        logger = logging.getLogger(name)
        if _FILTER not in logger.filters:
            logger.addFilter(_FILTER)
