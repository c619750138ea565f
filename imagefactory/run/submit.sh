#!/bin/sh
# A login-node job that lives as long as its Slurm job, in place of a bare `sbatch job.sh`:
#
#     submit.sh JOBNAME
#
# A bare sbatch ends when Slurm has accepted the job, and UNICORE then says SUCCESSFUL. This one
# waits, ends with the job's exit status, keeps its id in slurm-job-id, and cancels the job when it
# is told to end itself (abort through UNICORE sends TERM).
set -u
name=$1
child=''

# shellcheck disable=SC2329 # called by the trap
cancel() {
    trap '' HUP INT TERM
    id=$(cut -d ';' -f 1 slurm-job-id 2>/dev/null)
    if [ -n "$id" ]; then scancel "$id"; else scancel --me --name="$name"; fi
    [ -z "$child" ] || kill "$child" 2>/dev/null
    exit 143
}

mkdir -p output || exit 1
trap cancel HUP INT TERM
# stdbuf: into a file sbatch would write the id only when it ends.
stdbuf -oL sbatch --parsable --wait --job-name="$name" job.sh >slurm-job-id &
child=$!
# A trap ends `wait` early, and leaves through cancel: what is after it is the job's own end.
wait "$child"
