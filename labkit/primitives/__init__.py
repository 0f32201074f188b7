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

capabilities, user, seccomp                     chapter 08
limits, leftovers, sysctl, hidden_paths         what a process gives up, or mustn't see
inside_root  paths in a root that isn't ours    chapters 09, 10
             mount_inside, mount_options, device_inside, copy_up, peers_of_the_host,
             move_root: what config.json mounts there
clone, start_gate, parent_death                 how a container is born, and waits
program      what it runs, and its terminal     chapter 09
"""
