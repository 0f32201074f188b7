"""Log: an error for the person at the terminal, and for the engine above.

An engine looks for words in an error's text to learn what it means: "no such file or
directory" makes podman end with 127, "permission denied" with 126. Those are the C
library's words for an errno, so they are added to an error that has one.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.errors import LabError
    from labkit.plan.plan import Plan
    from labkit.runtime.oci.arguments import Given
    from labkit.runtime.spec import Process


class Log:
    """Where errors go: to stderr always, to a file where --log names one."""

    __slots__ = ("debug", "format", "path", "verb")

    def __init__(self) -> None:
        self.path, self.format, self.debug, self.verb = "", "text", False, ""

    def open(self, given: Given) -> None:
        """Take over what the global options say."""
        self.path, self.format = given.text("log"), given.text("log-format", "text")
        self.debug = given.on("debug")

    def error(self, error: LabError) -> None:
        """Write down what went wrong."""
        if self.debug:
            import traceback

            traceback.print_exception(error)
        self._tell("error", text_of(error))

    def debug_plan(self, plan: Plan) -> None:
        """With --debug: tell each step of a plan before it is launched."""
        for step in plan if self.debug else ():
            self._tell("debug", step.describe())

    def warn(self, text: str) -> None:
        """Tell what an engine should know though nothing has failed."""
        self._tell("warning", text)

    def warn_of_capabilities(self, process: Process | None) -> None:
        """Tell which capabilities nobody here knows, as the specification asks."""
        from labkit.runtime.planner_privileges import unknown_capabilities

        if process and (unknown := unknown_capabilities(process.capabilities)):
            self.warn(f"passed over: {', '.join(unknown)}")

    def _tell(self, level: str, text: str) -> None:
        if level == "error":
            sys.stderr.write(f"labkit-oci: {text}\n")
        elif not self.path:
            sys.stderr.write(f"level={level} msg={text}\n")
        if self.path:
            self._append(level, text)

    def _append(self, level: str, text: str) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.format == "json":
            import json

            told = {"level": level, "msg": text, "time": now}
            line = json.dumps(told, separators=(",", ":"))
        else:
            line = f'time="{now}" level={level} msg="{text}"'
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as refused:
            sys.stderr.write(f"labkit-oci: {self.path}: {refused.strerror}\n")


def text_of(error: LabError) -> str:
    """Return the error's lines, with the C library's words for its errno."""
    first, *others = str(error).split("\n")
    number = getattr(error, "errno", None)
    words = os.strerror(number) if number else ""
    if words and words.lower() not in str(error).lower():
        first = f"{first}: {words}"
    return "\n".join([first, *others])
