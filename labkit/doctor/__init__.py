"""What is real on this machine, per chapter, and what to do about the rest. Layer 2.

examine(probe()).text()      the whole report
examine(host).line("03")     one sentence, for the first cell of a chapter

chapters    what each chapter needs, a table       facts     the machine itself
remedies    what to do when it isn't there         report    putting it together
tier        root, user namespaces, or the lab VM
"""

from labkit.doctor.report import ChapterReport, Finding, Report, Word, examine
from labkit.doctor.tier import Tier, tier

__all__ = ["ChapterReport", "Finding", "Report", "Tier", "Word", "examine", "tier"]
