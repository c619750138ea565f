#!/bin/sh
# Run by `sh -s` on a login node: what a site is like for MPI in containers. Nothing is installed.
# Arguments: store, work, apptainer, time stamp, then the words that start two ranks on one node
# (none: the rank part is run here, once). Prints "part<TAB>fact<TAB>value", at the end "end".
store=$1 work=$2 apptainer=$3 stamp=$4
shift 4
say() { printf '%s\t%s\t%s\n' "$part" "$1" "$(printf '%s' "$2" | tr '\n\t' '  ')"; }
part=login
if command -v srun >/dev/null 2>&1; then
    say slurm "$(srun --version 2>&1 | head -n 1)"
    say plugins "$(srun --mpi=list 2>&1)"
fi
place=$store # the first image makes it
until test -d "$place"; do place=$(dirname "$place"); done
say free "$(df -P -B1 "$place" 2>/dev/null | awk 'NR == 2 { print $4 }')"
folder=$work/probe-$stamp
mkdir -p "$folder" || { say error "cannot make $folder"; exit 0; }
# Any image of the store will do, if it has a shell.
# shellcheck disable=SC2012 # names are ours: sha256-HEX.sif
image=$(ls -t "$store"/sha256-*.sif 2>/dev/null | head -n 1)
cat >"$folder/rank.sh" <<'RANK'
folder=$1 apptainer=$2 image=$3
part=rank${SLURM_PROCID:-${PS_JOB_RANK:-${PMIX_RANK:-0}}}
say() { printf '%s\t%s\t%s\n' "$part" "$1" "$(printf '%s' "$2" | tr '\n\t' '  ')"; }
ask() { say "$1" "$(shift; "$@" 2>/dev/null)"; }
for name in PMIX_NAMESPACE PMIX_VERSION PMIX_GDS_MODULE PMIX_SECURITY_MODE PMIX_SERVER_TMPDIR \
    PMIX_NSDIR PSSLURM_PMI_TYPE PMI_FD PMI_SIZE SLURM_PROCID; do
    eval "value=\${$name-}"
    test -n "$value" && say "$name" "$value"
done
say uris "$(env | sed -n 's/^PMIX_SERVER_\(URI[0-9]*\)=.*/\1/p' | sort | tr '\n' ' ')"
say host "$(uname -n)"
say parent "$PPID $(cat /proc/$PPID/comm 2>/dev/null)"
for name in user mnt pid ipc net; do ask "ns_$name" readlink "/proc/$$/ns/$name"; done
ask kernel uname -r
ask machine uname -m
ask glibc getconf GNU_LIBC_VERSION
ask flags grep -m 1 '^flags' /proc/cpuinfo
ask ptrace_scope cat /proc/sys/kernel/yama/ptrace_scope
say memlock "$(ulimit -l)"
ask fabric ls /sys/class/infiniband
say gpus "$(ls -d /dev/nvidia[0-9]* 2>/dev/null | sed 's,/dev/,,')"
if (: <>/dev/fuse) 2>/dev/null; then say fuse yes; else say fuse no; fi
if test -w /dev/shm; then say shm yes; else say shm no; fi
if test -S /run/munge/munge.socket.2; then say munge yes; else say munge no; fi
if command -v unshare >/dev/null 2>&1; then
    if unshare -U true 2>/dev/null; then say userns yes; else say userns no; fi
fi
program=$(command -v "$apptainer" 2>/dev/null)
if test -z "$program"; then
    say apptainer none
else
    say apptainer "$("$program" --version 2>/dev/null | sed 's/.*version //')"
    starter=$("$program" buildcfg LIBEXECDIR 2>/dev/null)/apptainer/bin/starter-suid
    if test -u "$starter"; then say setuid yes; else say setuid no; fi
fi
# May one rank read the other's memory? A read of nothing is UCX's own test.
if command -v python3 >/dev/null 2>&1; then
    me=${SLURM_LOCALID:-${PS_JOB_RANK:-${PMIX_RANK:-0}}}
    echo $$ >"$folder/.pid.$me" && mv "$folder/.pid.$me" "$folder/pid.$me"
    turns=0
    until test -e "$folder/pid.$((1 - me))" || test $turns -ge 100; do
        sleep 0.1
        turns=$((turns + 1))
    done
    if test -e "$folder/pid.$((1 - me))"; then
        ask cma python3 -c '
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
done = libc.process_vm_readv(int(sys.argv[1]), None, 0, None, 0, 0)
print("yes" if done == 0 else "no, errno %d" % ctypes.get_errno())' \
            "$(cat "$folder/pid.$((1 - me))")"
        : >"$folder/done.$me"
        turns=0
        until test -e "$folder/done.$((1 - me))" || test $turns -ge 100; do
            sleep 0.1
            turns=$((turns + 1))
        done
    fi
fi
# Where the segments of shared memory are (pmix-containers.md 1.5 and 3.4). Slurm 22.05 and 24.11 put
# them into a folder that no variable names, beside their PMIX_SERVER_TMPDIR (measured).
segments=${PMIX_NSDIR:-${PMIX_SERVER_TMPDIR-}}
for found in "${SLURM_PMIX_TMPDIR:-/tmp}"/spmix_appdir_*"${SLURM_JOB_ID-}.${SLURM_STEP_ID-}"; do
    test -z "${PMIX_NSDIR-}" && test -n "${SLURM_STEP_ID-}" && test -d "$found" && segments=$found
done
say segments "$segments"
if test -n "$program" && test -n "$image"; then
    say container "$("$program" exec "$image" sh -c '
printf "ran"
if test -n "$1"; then
    if test -d "$1"; then printf " tmpdir-seen"; else printf " tmpdir-hidden"; fi
fi
test -n "${PMIX_NAMESPACE-}" && printf " pmix-announced"
printf " user-%s" "$(readlink /proc/self/ns/user)"' sh "$segments" 2>&1 | tail -n 1)"
fi
say over yes
RANK
if test $# -gt 0; then
    "$@" sh "$folder/rank.sh" "$folder" "$apptainer" "$image" 2>"$folder/errors" </dev/null
    status=$?
    test $status -ne 0 && say error "status $status: $(tail -n 3 "$folder/errors")"
else
    sh "$folder/rank.sh" "$folder" "$apptainer" "$image" 2>/dev/null </dev/null
fi
rm -rf "$folder"
printf 'end\t\t\n'
