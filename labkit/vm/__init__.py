"""The lab VM: root in a small real Linux, for those who are allowed nothing.

    a notebook's kernel process       the owner (one for a learner)       the VM
    python -m labkit.vm -f ...  <->   python -m labkit.vm.owner     <->   QEMU
    only a connection                 keeps QEMU, forwards ports          agent: PID 1
                                                                          |- kernel
                                                                          `- kernel

QEMU emulates a computer in an ordinary process, without any privilege; Linux boots in
it, and the notebook runs there as root. One VM serves all notebooks of a learner, so a
container that one chapter starts is there in the next.

    settings, places    what can be chosen; where everything lies
    build               the artefacts: package, vmlinux, modules, initramfs, root image
    agents_imports      what the agent imports, in one file of that image
    machine, virtual_machine, qmp    a QEMU, and how one talks to it
    saved_state, clock  a VM that has booted already, kept in a file; its clock
    boot, accelerator   from a saved state or cold; KVM or emulation
    memory              is there room for one
    owner, kernels      the process that keeps the VM, and the kernels in it
    summon, connection  finding the owner; what Jupyter starts for a notebook
    commands            labkit vm build|start|status|stop|reset|clean
    guest/              what runs inside: init, agent
    once, beside        a VM for one command, and beside a container (chapter 07)

Left out: other processors than x86-64; a network that leads anywhere.
"""
