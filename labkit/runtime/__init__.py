"""The runtime: from an OCI bundle to a process, and what becomes of it. Chapter 09.

config.json -> Spec -> Plan -> launch -> a process, and its state on disk

spec        config.json as typed values; a wrong field is told by its place
planner     (spec, host, situation) -> Plan: the only place that knows the whole
            order; planner_namespaces, _root, _process are its parts
oci         labkit-oci: create, start, state, kill, delete, exec and the others

fork_server a small process that keeps a monitor ready; its parts: fork_server_process,
            template; rehearsal and gaps keep its copies quick and small
monitor     one for each container, which outlives whoever asked; its parts: launcher,
            streams, attached, log, control, watch
request, ending, burial   what is asked for, how it ended, what a killed monitor left
"""
