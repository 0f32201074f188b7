"""What runs inside the VM.

init     the first program: modules, root file system, then the agent (busybox sh)
agent    PID 1: starts kernels, tells how they end
wake     what the VM can know only now: the time, entropy, the work folder
zygote   what is imported once, before the state is saved; a kernel is its fork
"""
