"""Times of the day: `10:30 PM` is `22:30`."""

import re

_TIME = re.compile(
    r"(?P<hour>\d{1,2})(?:(?::|\{:\})(?P<minute>[0-5]\d))?(?:(?::|\{:\})(?P<second>[0-5]\d))?"
    r"\s*(?:(?P<half>[ap])\.?\s?m\.?|o'clock)?(?:\s*(?P<other>[ap])\.?m\.?)?",
    re.I | re.A,
)


def time_of(text: str) -> tuple[int, int, int, str] | None:
    """Hour, minute and second as written, and `a`, `p` or nothing.

    Args:
        text: of `fold`, without what is around it.

    Returns:
        None: it is no time.

    Example:
        >>> time_of("10:30 PM"), time_of("22:30"), time_of("5 pm"), time_of("5")
        ((10, 30, 0, 'p'), (22, 30, 0, ''), (5, 0, 0, 'p'), None)
    """
    found = _TIME.fullmatch(text.strip())
    if found is None or (found["minute"] is None and not re.search(r"[a-z]", text, re.I)):
        return None
    half = (found["half"] or found["other"] or "").lower()
    hour = int(found["hour"])
    if hour > 24 or (half and not 1 <= hour <= 12):
        return None
    return hour, int(found["minute"] or 0), int(found["second"] or 0), half


def same_time(first: str, second: str) -> bool | None:
    """Whether two texts are the same time of the day; a bare hour (`5`) is one beside `5 pm`, and both halves fit it.

    Without a half an hour is one of 24.

    Args:
        first: of `fold`, without what is around it.
        second: another.

    Returns:
        None: they are not both times, or none says of which half of the day (`1:2` may be a ratio).

    Example:
        >>> (
        ...     same_time("22:30", "10:30 PM"),
        ...     same_time("10:30", "10:30 PM"),
        ...     same_time("5", "5 pm"),
        ...     same_time("1:20", "1"),
        ... )
        (True, False, True, None)
    """
    times = [time_of(text) for text in (first, second)]
    if times[0] and times[1] and (times[0][3] or times[1][3]):
        return _seconds(*times[0]) == _seconds(*times[1])
    for time, bare in ((times[0], second), (times[1], first)):
        if time and time[3] and re.fullmatch(r"\d{1,2}", bare.strip()):
            return time[:3] == (int(bare), 0, 0)
    return None


def _seconds(hour: int, minute: int, second: int, half: str) -> int:
    hour = hour % 12 + 12 * (half == "p") if half else hour % 24
    return 3600 * hour + 60 * minute + second
