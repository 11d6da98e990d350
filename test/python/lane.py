"""What the scripts of this lane share: where the server is, what the demo model answers, and how a script reports.

A script prints one JSON line for each case, `{"case", "ok", "note"}`, and exits with 1 if one failed.
"""

import asyncio
import inspect
import json
import os
import sys
import traceback
import uuid

URL = os.environ["HOLDLINE_URL"]
TOKEN = os.environ["TOKEN"]
BEARER = {"authorization": f"Bearer {TOKEN}"}
WRONG = "wrong-token"


def numbers(count: int) -> str:
    """The whole answer to `count N`."""
    return "".join(f"{i} " for i in range(1, count + 1))


def new_id() -> str:
    return f"py-{uuid.uuid4()}"


def same(actual, expected, what="the text") -> None:
    if actual != expected:
        raise AssertionError(f"{what} is {actual!r}, not {expected!r}")


def is_part(text: str, count: int) -> None:
    """That a stopped answer to `count N` has a beginning of it, and no more."""
    if text == "" or text == numbers(count) or not numbers(count).startswith(text):
        raise AssertionError(f"{text!r} is no part of the answer")


def refused(call, *kinds, status: int = 401) -> str:
    """Runs `call`, which must fail as one of these kinds with this status. Returns what it says."""
    try:
        call()
    except kinds as error:
        code = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
        if code not in (None, status) or (code is None and str(status) not in str(error)):
            raise AssertionError(f"refused with {code}: {error}") from error
        return f"{type(error).__name__} {status}"
    raise AssertionError("a wrong token is not refused")


async def a_refused(call, *kinds, status: int = 401) -> str:
    """As `refused`, for a call that is awaited."""
    try:
        await call()
    except kinds as error:
        caught = error
    else:
        raise AssertionError("a wrong token is not refused")

    def again():
        raise caught

    return refused(again, *kinds, status=status)


def report(*cases) -> None:
    """Runs the cases in their order, each a function with or without `async`, and ends the script."""
    failed = False
    # One loop for all: some packages keep connections for the next call.
    loop = asyncio.new_event_loop()
    for case in cases:
        try:
            note = loop.run_until_complete(case()) if inspect.iscoroutinefunction(case) else case()
            line = {"case": case.__name__, "ok": True, "note": note or ""}
        except Exception as error:
            failed = True
            traceback.print_exc()
            line = {"case": case.__name__, "ok": False, "note": f"{type(error).__name__}: {error}"}
        print(json.dumps(line), flush=True)
    sys.exit(1 if failed else 0)
