"""What the cases about a run that waits for a human share: what the demo model says before a wait, and after it."""

import json

APPROVAL = "ask approval"
QUESTION = "ask question"
TOOL = "ask tool"

MAIL_WRITTEN = "I have written a mail to Ada. "
MAIL_SENT = "It is sent. "
COLOUR_NEEDED = "I need a colour. "
PLACE_NEEDED = "I ask your client where it is. "
PLACE = {"city": "Turin"}


def given(value) -> str:
    """What it says when it has been given a value or the result of a tool."""
    return f"You gave me `{json.dumps(value, separators=(',', ':'))}`. "


def refusal(reason: str) -> str:
    return f"It is not sent: {reason}. "
