"""The primitives: one module for each chapter's subject. Layer 4.

process      fork, exec                         chapter 01
root         chroot, the escape, pivot_root     chapters 02, 05
cgroups      how much a process may take        chapter 03
namespaces   what it may see                    chapter 04
idmap        who it is, inside and outside      chapter 04
mounts       bind, propagation, proc, masks     chapter 05
devices      the minimal /dev                   chapter 05
overlay      layers, copy-up, whiteouts         chapter 06
             overlay_mount is its step, layers reads the directories
"""
