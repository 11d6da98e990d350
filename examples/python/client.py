"""The client of the examples here: the stock one, with another address and a token as its key."""

import os
import sys

from openai import OpenAI

HOLDLINE = os.environ.get("HOLDLINE_URL", "http://127.0.0.1:8080")
TOKEN = os.environ["TOKEN"]

openai = OpenAI(base_url=f"{HOLDLINE}/openai/v1", api_key=TOKEN)


def prompt_or(prompt: str) -> str:
    """The words of the command line, or else this prompt."""
    return " ".join(sys.argv[1:]) or prompt
