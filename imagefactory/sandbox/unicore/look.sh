#!/bin/sh
# One look at many processes: what Slurm and ps list, then what each one has written.
# usage: sh look.sh [KEY PID_FILE EXIT_FILE]...
# The lists come first: a process that has gone by then has written its exit code before.
if jobs=$(squeue -h -o '%i %T %P' 2>/dev/null); then
    printf 'slurm answers\n'
    [ -z "$jobs" ] || printf '%s\n' "$jobs" | sed 's/^/job /'
fi
ps -u "$(id -u)" -o pid=,stat= | sed 's/^ */process /'
while [ "$#" -ge 3 ]; do
    pid='' code=''
    [ ! -s "$2" ] || read -r pid < "$2"
    [ ! -s "$3" ] || read -r code < "$3"
    printf 'watch %s %s %s\n' "$1" "${pid:--}" "${code:--}"
    shift 3
done
