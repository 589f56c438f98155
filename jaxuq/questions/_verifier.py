"""Run as a program of its own: lines of two LaTeX expressions in, `true`, `false` or `null` out. Imports no jaxuq."""

import json
import logging
import signal
import sys

_SECONDS = 20


def main() -> None:
    """Answer until there are no more lines."""
    from math_verify import LatexExtractionConfig, parse, verify

    logging.disable(logging.CRITICAL)
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    except (ImportError, ValueError, OSError):  # not on this system
        pass
    answers, sys.stdout = sys.stdout, sys.stderr
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        if hasattr(signal, "alarm"):  # ends the program, should nobody be there any more to stop it
            signal.alarm(_SECONDS)
        verdict = None
        try:
            read = [
                parse(f"${text}$", [LatexExtractionConfig()], fallback_mode="no_fallback", parsing_timeout=0)
                for text in json.loads(line)
            ]
            if all(one and not isinstance(one[0], str) for one in read):
                verdict = any(
                    verify(one, other, float_rounding=12, timeout_seconds=0) for one, other in (read, read[::-1])
                )
        except Exception:  # whatever its parser raises at a text that it was not made for
            verdict = None
        if hasattr(signal, "alarm"):
            signal.alarm(0)
        print(json.dumps(None if verdict is None else bool(verdict)), file=answers, flush=True)


if __name__ == "__main__":
    main()
