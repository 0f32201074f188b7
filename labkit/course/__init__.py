"""Exercises, checks, progress: how a learner's own code is asked for and judged.

check("02.1", enter_root)    a Verdict: a line, one of five words; "passed" counts
progress                     what was predicted, passed and looked up: my_progress.json
keep, my_container, catch_up     the learner's own runtime: my_container.py
python -m labkit.course.publish  exercises from solutions; chapters run and saved

How an exercise is written
--------------------------

1. tasks/NOUN.py holds the chapter's `EXERCISE`: at least two tasks, as data (task.py).
   Its row stands in tasks/__init__.py. The first task, NN.1, has `kept=True`: the
   functions that it names go to my_container.py when it has passed.

2. A task's check gets the learner's function (a tuple, if it names several), and a
   `Case`: case.seed (names, numbers, secrets), case.host, case.folder (its own).

       def check_enter_root(enter_root: EnterRoot, case: Case) -> Saw:
           box = ...                              # in case.folder, with a secret name
           rehearsed = rehearse(enter_root, box)  # on the recorder: no effect
           rehearsed.must("chroot" in rehearsed.names, "no call changed the root: ...")
           with attempt(enter_root, box) as run:  # in a real child, then parked
               run.must(same(f"/proc/{run.pid}/root", box), "the root is still ...")
               return run.saw("the root of your process is the box")

   The rehearsal may ask only for what every right answer does: any route that leads to
   the state is right. Evidence is read here, of another process than the one changed:
   /proc, /sys, mountinfo, a file's content; never what the learner's code prints.

   run.must, run.failed     end the check as failed, and say in which of the two runs
   run.saw                  what a check returns: a sentence without any surprise in it
   run.calls .names .returned .shown .pid .child    what is known of it
   attempt(f, ..., first=Plan(...))    steps of the lab's before the learner's;
                            as_root(case.host) gives an ordinary user its capabilities
   ask(f, ...)              for a function without `linux` that makes a value: a plan
   raise Failed(...), NotPossible(...) where there is no run to speak of

   A function that raises, loops, leaves, or comes back twice has ended the check with a
   message before its `must` is asked. An error in the check itself is "broken".

3. A message says what was observed, then asks the question that leads on: "'.' is
   still outside the box. Which call moves it?" The three hints say where to look, which
   call, the shape of the answer.

4. `mistakes`: at least two a chapter, each a source and a part of its message. The
   tests run them: each fails, and its part occurs in its own message only.

5. solutions/NN_noun.ipynb is the one notebook written by hand. Its cells carry
   {"labkit": {"role": "setup" | "answer" | "check" | "solution", "ex": "02.1",
   "points": 2}}. In an answer cell, what stands between the lines

       ### BEGIN SOLUTION
       ### END SOLUTION

   becomes `raise NotImplementedError("your turn")` in exercises/; cells of the role
   "solution" (a word on the answer, for those who have it) are left out there. The
   order: lab.predict("02.1"), the answer, lab.check("02.1", enter_root).
"""

from __future__ import annotations

from labkit.course.checking import check, judge
from labkit.course.keep import catch_up, keep, my_container
from labkit.course.verdict import NotPassed, Verdict, Word

__all__ = [
    "NotPassed",
    "Verdict",
    "Word",
    "catch_up",
    "check",
    "judge",
    "keep",
    "my_container",
]
