"""The command `labkit-oci`: runc's interface over the lab's plans. Chapter 09.

    command      one word in, one exit code out; errors to stderr and to podman's log
    arguments    a verb's page of help is the table that its options are read by
    container    a container's directory: state.json, a lock, what its status is
    create, enter            verbs that need a plan
    start, ending, freezer, listing, changing    verbs that need none, and start fast

podman starts this program three times for each container, with an environment that is
nearly empty. So a verb's module is imported when the verb runs, and what the light
verbs import is little: each import is paid for by every container.
"""
