# What is asked of podman, once with each runtime; the exit code and what is printed are
# compared. Each "#:" begins a case; the functions before the first one serve them all.
#
# $N       a name for the case's containers    $IMAGE   a small image
# $PLACE   a directory of the case's own       $ROOTFS  the image's files
#
# A case takes away by itself what differs from run to run: times, ids.

run() { podman run --rm "$@"; }
serve() { serve_by 'echo ready; while :; do sleep 0.1; done' "$@"; }
serve_by() {
    program=$1; shift
    podman run -d --name $N "$@" $IMAGE sh -c "$program" >/dev/null
    for i in $(seq 100); do podman logs $N | grep -q ready && return; sleep 0.05; done
}
# Twice if need be: podman itself fails when two of them tidy up one storage at once.
bye() { for i in 1 2; do podman rm -f -i -t 0 $N >/dev/null 2>&1 && return; done; return 125; }
status='grep -E ^(Umask|Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Sig(Blk|Ign|Cgt)) /proc/self/status'

#: exit code 7
run $IMAGE sh -c 'exit 7'
#: a child killed by a signal
run $IMAGE sh -c 'sh -c "kill -9 \$\$"'
#: no such program
run $IMAGE /no/such/program
#: no such program on PATH
run $IMAGE nosuchprogram
#: a program that may not run
run $IMAGE /etc/passwd
#: a program that is a directory
run $IMAGE /etc
#: a program of no format
run $IMAGE /etc/noformat
#: working directory
run -w /etc $IMAGE pwd
#: arguments as they are
run $IMAGE echo 'a b' '' '*' "$(printf 'x\ty')"
#: environment
run -e ONE=1 -e TWO='a b=c' $IMAGE env | grep -E 'ONE|TWO|PATH|HOME|container' | sort
#: nothing of the runtime's in the environment
run $IMAGE sh -c 'tr "\0" "\n" </proc/1/environ | cut -d= -f1 | sort'
#: much standard input
head -c 3000000 /dev/zero | run -i $IMAGE wc -c
#: no other descriptor
run $IMAGE sh -c 'ls /proc/$$/fd'
#: a descriptor passed on
run --preserve-fds 1 $IMAGE sh -c 'cat <&3' 3<$PLACE/file
#: host name
run --hostname box.lab $IMAGE hostname
#: process status
run $IMAGE $status
#: limits
run --ulimit nofile=256:512 --ulimit nproc=1000:1000 $IMAGE cat /proc/self/limits
#: umask
run --umask 0027 $IMAGE sh -c 'umask; touch /tmp/x; stat -c %a /tmp/x'
#: out-of-memory score
run --oom-score-adj 500 $IMAGE cat /proc/self/oom_score_adj
#: user by name
run --user lab $IMAGE id
#: user by number
run --user 1234:5678 $IMAGE id
#: more groups
run --user lab --group-add 2000 --group-add 3000 $IMAGE id -G
#: a user's status
run --user lab $IMAGE $status
#: a user may not enter the working directory
run --user lab -w /root $IMAGE pwd
#: no capability
run --cap-drop ALL $IMAGE $status
#: a capability less
run --cap-drop CHOWN $IMAGE chown lab /etc/passwd
#: a capability more
run --cap-add NET_ADMIN --cap-add SYS_TIME $IMAGE $status
#: a user with a capability
run --user lab --cap-add NET_RAW $IMAGE $status
#: no new privileges
run --security-opt no-new-privileges $IMAGE grep NoNewPrivs /proc/self/status
#: seccomp refuses
run $IMAGE sh -c 'unshare -U true; echo $?; mount -t tmpfs x /tmp; echo $?'
#: a seccomp profile of its own
run --security-opt seccomp=$PLACE/seccomp.json $IMAGE mkdir /tmp/x
#: a user namespace
run --uidmap 0:100000:5000 --gidmap 0:200000:5000 $IMAGE sh -c '
    id -u; cat /proc/self/uid_map /proc/self/gid_map; touch /tmp/x; stat -c %u /tmp/x'
#: mounts
run $IMAGE cat /proc/self/mountinfo | awk '{print $5, $6}' | sort
#: devices
run $IMAGE ls -l /dev | awk '/^[cl]/ {print $1, $3, $4, $NF}' | sort
#: devices that work
run $IMAGE sh -c 'for d in null zero full random urandom tty ptmx; do test -c /dev/$d && echo $d; done
    echo x >/dev/null; head -c 2 /dev/urandom | wc -c; echo x >/dev/full'
#: a device of the host
run --device /dev/zero:/dev/labzero:r $IMAGE sh -c 'head -c 3 /dev/labzero | wc -c; echo x >/dev/labzero'
#: a device that is forbidden
run --cap-add MKNOD $IMAGE sh -c 'mknod /tmp/kmsg c 1 11 && head -c1 /tmp/kmsg'
#: masked paths
run $IMAGE sh -c 'cat /proc/keys /proc/timer_list | wc -c; ls /sys/firmware /proc/acpi | wc -l'
#: paths that can't be written
run $IMAGE sh -c 'echo x >/proc/sys/kernel/hostname; echo x >/proc/irq/default_smp_affinity; echo x >/sys/x'
#: read-only root
run --read-only $IMAGE sh -c 'touch /x; touch /etc/x; touch /tmp/x && echo tmp; touch /dev/shm/x && echo shm'
#: temporary file system
run --tmpfs /scratch:size=1m,mode=1770,noexec $IMAGE sh -c 'stat -c %a /scratch; grep " /scratch " /proc/mounts'
#: a directory of the host
run -v $PLACE:/here $IMAGE sh -c 'cat /here/file; echo new >/here/made'; cat $PLACE/made
#: a directory of the host, read-only
run -v $PLACE:/here:ro $IMAGE sh -c 'cat /here/file; touch /here/x'
#: a volume
run -v $N:/data $IMAGE sh -c 'echo kept >/data/x'; run -v $N:/data $IMAGE cat /data/x
podman volume rm $N >/dev/null
#: shared memory
run --shm-size 2m $IMAGE grep ' /dev/shm ' /proc/mounts
#: sysctl
run --sysctl kernel.msgmax=9000 --sysctl net.ipv4.ip_forward=1 $IMAGE cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward
#: a sysctl that isn't its own
run --ipc host --sysctl kernel.msgmax=9000 $IMAGE true
#: namespaces of its own
run $IMAGE sh -c 'for n in mnt pid net ipc uts; do readlink /proc/self/ns/$n; done' >$PLACE/ns
for n in mnt pid net ipc uts; do grep -F "$(readlink /proc/self/ns/$n)" $PLACE/ns; done; wc -l <$PLACE/ns
#: namespaces of the host
run --pid host --uts host --ipc host --net host $IMAGE sh -c 'for n in pid net ipc uts; do readlink /proc/self/ns/$n; done' >$PLACE/ns
for n in pid net ipc uts; do grep -qF "$(readlink /proc/self/ns/$n)" $PLACE/ns && echo same $n; done
#: namespaces of another container
serve; run --pid container:$N --net container:$N $IMAGE sh -c 'ps | grep -c "[s]leep 0.1"'; bye
#: a pod
podman pod create --infra-image $IMAGE --infra-command 'sleep 60' --name $N >/dev/null
for i in a b; do run --pod $N $IMAGE readlink /proc/self/ns/ipc >$PLACE/$i; done
cmp $PLACE/a $PLACE/b && echo same; podman pod rm -f -t 0 $N >/dev/null
#: a private cgroup namespace
run --cgroupns private $IMAGE cut -d: -f3 /proc/self/cgroup | sort -u
#: memory
run --memory 64m --memory-swap 128m $IMAGE sh -c '
    cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes || cat memory.max'
#: more memory than it may
podman run --name $N --memory 16m $IMAGE tail /dev/zero
podman inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' $N; bye
#: processor time
run --cpus 0.5 $IMAGE sh -c 'cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us || cat cpu.max'
#: processor shares
run --cpu-shares 512 --cpuset-cpus 0 $IMAGE sh -c '
    cd /sys/fs/cgroup; cat cpu/cpu.shares cpuset/cpuset.cpus || cat cpu.weight cpuset.cpus'
#: more processes than it may
run --pids-limit 8 $IMAGE sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2 & done; wait' 2>&1 | sort -u
#: limits changed while it runs
serve --memory 64m; podman update --memory 32m --cpus 0.3 --cpu-shares 200 $N >/dev/null; podman exec $N sh -c '
    cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares || cat memory.max cpu.max'; bye
#: init
run --init $IMAGE sh -c 'cat /proc/1/comm; sh -c "sleep 0.1 &"; sleep 0.3; ps -o stat | grep -c Z'
#: a terminal
run -t $IMAGE sh -c 'tty; test -t 0 -a -t 1 -a -t 2 && echo terminal; ls -l /dev/console | cut -c1-10'
#: created, then started
podman create --name $N $IMAGE sh -c 'echo hello; exit 4' >/dev/null; podman start -a $N; echo $?; bye
#: initialised, then removed
podman create --name $N $IMAGE true >/dev/null; podman init $N >/dev/null
podman inspect -f '{{.State.Status}}' $N; podman rm -f $N >/dev/null; echo $?
#: started again
podman run --name $N $IMAGE echo once; podman start -a $N; bye
#: exec
serve; for program in 'sh -c true' 'sh -c exit_5' nosuchprogram /etc/passwd /etc; do
    podman exec $N $program; echo $?
done; podman exec -w /no/where $N true; echo $?; bye
#: exec with user, directory, environment
serve; podman exec -u lab -w /etc -e X=1 $N sh -c 'id; pwd; echo $X'; podman exec -u lab $N $status; bye
#: exec with status
serve; podman exec $N $status; podman exec --privileged -u lab $N $status; bye
#: exec in all its namespaces
serve; podman exec $N sh -c 'for n in mnt pid net ipc uts user cgroup; do
    test $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) && echo same $n; done
    cmp /proc/1/cgroup /proc/$$/cgroup && echo same cgroups; ls /proc/$$/fd; readlink /proc/$$/cwd'; bye
#: exec in the background
serve; podman exec -d $N sh -c 'echo done >/tmp/x' >/dev/null
for i in $(seq 50); do podman exec $N cat /tmp/x 2>/dev/null && break; sleep 0.1; done; bye
#: exec with a terminal
serve; podman exec -t $N sh -c 'tty; test -t 1 && echo terminal; exit 6'; echo $?; bye
#: exec with input
serve; printf 'a\nb\n' | podman exec -i $N wc -l; bye
#: exec in a user namespace
serve --uidmap 0:100000:5000 --gidmap 0:200000:5000
podman exec $N sh -c 'id; cat /proc/self/uid_map'; podman exec -u lab $N id; bye
#: exec that is killed
serve; podman exec $N sh -c 'kill -9 $$'; echo $?; bye
#: stop
serve_by 'trap "exit 9" TERM; echo ready; while :; do sleep 0.1; done'; podman stop -t 5 $N >/dev/null
podman inspect -f '{{.State.Status}} {{.State.ExitCode}}' $N; bye
#: stop of one that doesn't listen
serve; podman stop -t 1 $N >/dev/null 2>&1; podman inspect -f '{{.State.ExitCode}}' $N; bye
#: stop by a signal of its own
serve_by 'trap "exit 11" USR1; echo ready; while :; do sleep 0.1; done' --stop-signal USR1
podman stop -t 5 $N >/dev/null; podman inspect -f '{{.State.ExitCode}}' $N; bye
#: kill
serve; podman kill $N >/dev/null; podman wait $N; podman kill $N 2>/dev/null; echo $?; bye
#: kill by another signal
serve_by 'trap "echo got it; exit 3" USR2; echo ready; while :; do sleep 0.1; done'
podman kill -s USR2 $N >/dev/null; podman wait $N; podman logs $N; bye
#: pause
serve; podman pause $N >/dev/null; podman inspect -f '{{.State.Status}}' $N
podman exec $N true 2>/dev/null; echo $?
podman unpause $N >/dev/null; podman inspect -f '{{.State.Status}}' $N; podman exec $N echo on; bye
#: removed while paused
serve; podman pause $N >/dev/null; bye; echo $?; podman ps -aq --filter name=$N
#: restart
serve; podman restart -t 0 $N >/dev/null; podman inspect -f '{{.State.Status}}' $N; bye
#: statistics
serve --memory 64m; podman stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' $N | sed 's,.*/,,'; bye
#: its processes
serve_by 'echo ready; exec sleep 100'; podman top $N user args; bye
#: copies
serve; podman cp $PLACE/file $N:/tmp/copy; podman exec $N cat /tmp/copy
podman cp $N:/etc/passwd $PLACE/back; head -1 $PLACE/back; bye
#: health
serve --health-cmd 'test -e /tmp/well' --health-interval disable --health-retries 1
podman healthcheck run $N; echo $?; podman exec $N touch /tmp/well; podman healthcheck run $N; echo $?
podman inspect -f '{{.State.Healthcheck.Status}}' $N; bye
#: a file tree without an image
run --rootfs $ROOTFS head -1 /etc/os-release
#: many at once
for i in 1 2 3 4; do run $IMAGE echo $i >$PLACE/out$i & done; wait; cat $PLACE/out?
#: build
printf 'FROM localhost/box\nRUN echo built >/made && id -u\nUSER lab\nRUN id -u\n' >$PLACE/Containerfile
podman build -q --isolation oci --network none -t localhost/$N $PLACE >/dev/null; run localhost/$N cat /made
podman rmi localhost/$N >/dev/null
