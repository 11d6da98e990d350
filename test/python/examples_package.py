"""`examples/python`, as its README runs it."""

import pathlib
import re
import subprocess
import sys

from lane import is_part, numbers, report, same
from waits import APPROVAL, MAIL_SENT, MAIL_WRITTEN

FOLDER = pathlib.Path(__file__).parents[2] / "examples" / "python"


def _printed(script, prompt, typed=""):
    command = [sys.executable, str(FOLDER / script), prompt]
    done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"{script} exits with {done.returncode}: {done.stderr}")
    return done.stdout


def chat_completion():
    same(_printed("chat_completion.py", "count 40 at 100/s"), f"{numbers(40)}\n")


def resume():
    before, after = _printed("resume.py", "count 60 at 30/s").split("\n--- cut ---\n")
    is_part(before, 60)
    same(before + after, f"{numbers(60)}\n")


def stop():
    status, text = re.fullmatch(r"(\w+): ([\d ]*)\n", _printed("stop.py", "count 5000 at 50/s")).groups()
    same(status, "cancelled", "the status")
    is_part(text, 5000)


def native_resume():
    same(_printed("native_resume.py", "count 40 at 50/s"), f"{numbers(40)}\n")


def answer():
    asked, *said = _printed("answer.py", APPROVAL, typed="yes\n").splitlines()
    same(asked, "May I send the mail to ada@example.com? yes / no", "what it asks")
    same(said, [f"user: {APPROVAL}", f"assistant: {MAIL_WRITTEN}{MAIL_SENT}"], "the chat")


report(chat_completion, resume, stop, native_resume, answer)
