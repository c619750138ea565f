#!/bin/sh
# Stage one, on a site's login node: the image gets into the store, whole and checked, once.
#
#     stage_one.sh STORE REFERENCE HEX SIZE APPTAINER RUN
#     stage_one.sh clean STORE DAYS SCHEDULER ACT
#
# STORE      folder for images, seen by login and compute nodes
# REFERENCE  oras://HOST/NAME@sha256:<manifest>
# HEX, SIZE  sha256 (64 digits) and bytes of the SIF, as the manifest says
# RUN        the name of the job that needs the image
# The image is STORE/sha256-HEX.sif; that name never stands for half a file or other bytes.
# Who may read the store but not write it can use what is there.
#
# `clean` removes images that no run was staged for in DAYS days and no job in the queue needs: every
# staging leaves STORE/.used/HEX.RUN, dated, before it looks for the image. SCHEDULER is slurm or
# none; ACT is remove, or show: nothing is removed then.
#
# Standard output: lines "imagefactory WORD ...". Needs coreutils and apptainer, nothing else. Where
# there is curl, a pull that was cut goes on from STORE/.part-HEX; apptainer begins anew.
# Exit status: 0 done, 10 wrong arguments, 11 no apptainer, 12 no space, 13 registry away,
# 14 not in the registry, 15 registry refused us, 16 wrong bytes, 17 store not writable,
# 18 the pull failed otherwise, 19 Slurm cannot be asked.
#
# Two runs may stage one image at once, from one login node or from two. The lock is a folder that
# is renamed into place: atomic on NFS, Lustre and GPFS alike, where flock may be missing or local
# to a node. Its holder counts up a file `beat`; a holder that is dead (same node: no such process;
# other node: no beat for STALE of our own half seconds) is buried, and the next one goes on.
set -u
STALE=${IMAGEFACTORY_STALE:-120}
MARGIN=16777216

say() { printf 'imagefactory %s\n' "$*"; }

fail() {
    status=$1
    shift
    printf '%s\n' "$*" >&2
    exit "$status"
}

# --- who is alive: a token is PID.SECONDS.NODE ---------------------------------------------------

is_dead() {
    node=${1#*.}
    [ "${node#*.}" = "$(uname -n)" ] && [ ! -d "/proc/${1%%.*}" ]
}

is_dead_or_old() {
    is_dead "$1" && return 0
    made=${1#*.}
    made=${made%%.*}
    [ $(($(date +%s) - made)) -gt 172800 ]
}

# --- the lock ------------------------------------------------------------------------------------

take_lock() {
    fresh=$lock.new-$token
    mkdir "$fresh" || fail 17 "cannot write into the store: $store"
    printf '%s\n' "$token" >"$fresh/owner" || fail 12 "cannot write into the store: $store"
    printf '0\n' >"$fresh/beat" || fail 12 "cannot write into the store: $store"
    last='' still=0 odd=0 tries=0
    until mv -T "$fresh" "$lock" 2>/dev/null; do
        holder=$(cat "$lock/owner" 2>/dev/null)
        if [ -z "$holder" ]; then
            odd=$((odd + 1))
            [ "$odd" -lt 60 ] || fail 17 "cannot make the lock in the store: $lock"
        else
            seen="$holder $(cat "$lock/beat" 2>/dev/null)"
            if [ "$seen" = "$last" ]; then still=$((still + 1)); else still=0; fi
            [ $((tries % 20)) -ne 0 ] || say waiting "${holder#*.*.}" "${holder%%.*}"
            last=$seen odd=0 tries=$((tries + 1))
            if is_dead "$holder" || [ "$still" -ge "$STALE" ]; then
                bury "$holder"
                continue
            fi
        fi
        sleep 0.5
    done
    locked=yes
}

bury() {
    # The grave is kept until the image is there: it is never empty, so a second waiter that saw
    # the same dead holder cannot rename the lock of the next one onto it.
    if [ "$(cat "$lock/owner" 2>/dev/null)" = "$1" ] &&
        mv -T "$lock" "$lock.dead-$1" 2>/dev/null; then
        say takeover "${1#*.*.}" "${1%%.*}"
    fi
}

beat() {
    [ -z "$locked" ] && return
    count=$((count + 1))
    [ "$(cat "$lock/owner" 2>/dev/null)" = "$token" ] &&
        printf '%s\n' "$count" 2>/dev/null >"$lock/beat"
}

# shellcheck disable=SC2329 # called by cleanup, which the traps call
release_lock() {
    [ "$(cat "$lock/owner" 2>/dev/null)" = "$token" ] || return 0
    mv -T "$lock" "$work.lock" 2>/dev/null && rm -rf "$work.lock"
}

sweep() {
    for left in "$store/.pull-$hex-"* "$lock.new-"* "$lock.dead-"*; do
        [ -e "$left" ] || continue
        case $left in
        *.lock) rm -rf "$left" ;;
        "$lock.dead-"*) ;;
        "$lock.new-"*) ! is_dead_or_old "${left#"$lock.new-"}" || rm -rf "$left" ;;
        *) ! is_dead_or_old "${left#"$store/.pull-$hex-"}" || rm -rf "$left" ;;
        esac
    done
}

# --- long work: in the background, so that the lock's beat and the progress go on -----------------

follow() {
    child=$1
    while kill -0 "$child" 2>/dev/null; do
        beat
        here=$(du -s -B1 "$2" 2>/dev/null | cut -f1)
        [ "$2" = quiet ] || say bytes "${here:-0}" "$size"
        sleep 0.5
    done
    wait "$child"
    status=$?
    child=''
    return "$status"
}

mark_used() {
    mkdir "$store/.used" 2>/dev/null && chmod 1777 "$store/.used"
    touch "$store/.used/$hex.$run" 2>/dev/null || say unmarked "$store/.used"
}

use_as_it_is() {
    # No place for a lock or a file of ours: the image may be there all the same.
    [ -r "$final" ] || fail 17 "cannot write into the store: $store"
    say checking "$final" "$size"
    sum=$(sha256sum <"$final") || fail 17 "cannot read $final"
    [ "${sum%% *}" = "$hex" ] ||
        fail 17 "the image was altered, and we cannot write into the store: $final"
    finish
}

matches() {
    say checking "$1" "$size"
    sha256sum <"$1" >"$work/sum" &
    # Not to know is not "altered": a good image must not be removed because the disk is full.
    { follow $! quiet && read -r sum rest <"$work/sum"; } ||
        fail 17 "cannot read $1, or cannot write into the store: $store"
    [ "$sum" = "$hex" ]
}

finish() {
    say image "$final" "sha256:$hex"
    exit 0
}

# shellcheck disable=SC2329 # called by the traps
cleanup() {
    trap '' HUP INT TERM PIPE
    [ -z "$child" ] || kill "$child" 2>/dev/null
    [ -z "$child" ] || wait "$child" 2>/dev/null
    # Only now: its writer is dead, and nobody else has this file.
    [ ! -s "$part" ] || mv -T "$part" "$store/.part-$hex" 2>/dev/null
    [ -z "$locked" ] || release_lock
    rm -rf "$work" "$lock.new-$token"
}

# --- the steps ------------------------------------------------------------------------------------

require_space() {
    free=$(df --output=avail -B1 "$store" | tail -n 1)
    needed=$((size + MARGIN))
    [ "$free" -ge "$needed" ] ||
        fail 12 "the store's disk is too full: $needed bytes are needed, $free are free in $store"
    # A quota is seen by no df: the blocks are asked for, and given back. Where the file system
    # cannot give them beforehand, the pull itself will tell.
    text=$(fallocate -l "$needed" "$work/space" 2>&1)
    rm -f "$work/space"
    case $text in
    *[Qq]"uota exceeded"* | *"No space left"*)
        fail 12 "no quota for $needed bytes in $store: ${text##*: }"
        ;;
    esac
}

explain_pull() {
    text=$(tail -c 2000 "$work/log")
    printf '%s\n' "$text" >&2
    case $text in
    *"no space left on device"* | *"quota exceeded"*)
        rm -f "$part"
        fail 12 "no space in $store"
        ;;
    *"verifying sha256"* | *"match expected size"*) fail 16 "the registry has wrong bytes" ;;
    *x509:* | *certificate*) fail 15 "the registry's certificate is not trusted here" ;;
    *_UNKNOWN:* | *NOT_FOUND* | *"404 "*) fail 14 "the registry has no such image" ;;
    *UNAUTHORIZED* | *DENIED* | *"401 "* | *"403 "*) fail 15 "the registry refused us" ;;
    *"connection re"* | *"no such host"* | *timeout* | *"unexpected EOF"* | *"500 "* | *"502 "* | \
        *"503 "* | *"504 "* | *unreachable* | *"no route"* | *deadline* | *TOOMANY* | *"429 "* | \
        *UNAVAILABLE* | *"server misbehaving"*)
        fail 13 "the registry cannot be reached from $(uname -n)"
        ;;
    esac
    # On a full disk nobody could write down what is wrong.
    [ -s "$work/log" ] || [ "$(df --output=avail -B1 "$store" | tail -n 1)" -ge "$size" ] ||
        fail 12 "no space in $store"
    fail 18 "apptainer pull failed"
}

apptainer_pull() {
    mkdir "$work/tmp" || fail 12 "cannot write into the store: $store"
    # shellcheck disable=SC2086 # the guard is words
    APPTAINER_TMPDIR=$work/tmp APPTAINER_DISABLE_CACHE=1 \
        $guard "$apptainer" pull --disable-cache "$work/image.sif" "$reference" \
        >"$work/log" 2>&1 &
    follow $! "$work" || explain_pull
    rm -f "$part"
    mv -T "$work/image.sif" "$part"
}

# With curl, from where the last pull was cut; false where that is not to be had. What is wrong is
# left for apptainer to find and to say.
resumed_pull() {
    command -v curl >/dev/null && curl -q --version >/dev/null 2>&1 || return 1
    name=${reference#oras://}
    name=${name%@*}
    host=${name%%/*}
    case $host in 127.0.0.1:* | localhost:*) scheme=http ;; *) scheme=https ;; esac
    url=$scheme://$host/v2/${name#*/}/blobs/sha256:$hex
    write_header
    mv -T "$store/.part-$hex" "$part" 2>/dev/null
    tries=0
    while [ "$tries" -lt 5 ]; do
        had=$(stat -c %s "$part" 2>/dev/null || echo 0)
        [ "$had" -lt "$size" ] || return 0
        # shellcheck disable=SC2086 # the guard is words
        $guard curl -q -fsSL --proto "=$scheme" --proto-redir '=https' --connect-timeout 15 \
            --retry 3 --speed-limit 1 --speed-time 60 -H "@$work/header" -C - -o "$part" "$url" \
            >"$work/log" 2>&1 &
        follow $! "$part"
        case $? in
        0 | 18 | 28 | 52 | 56 | 92) ;;
        *) return 1 ;; # 23 and 33 among them: no space; no answer to "from this byte on"
        esac
        [ "$(stat -c %s "$part" 2>/dev/null || echo 0)" -gt "$had" ] || tries=$((tries + 1))
        [ "$had" -eq 0 ] || say resumed "$url" "$had"
    done
    return 1
}

# A registry whose images are public gives everybody a token, for the asking.
write_header() {
    challenge=$(curl -q -sS -I --connect-timeout 15 "$url" 2>/dev/null | tr -d '\r' |
        sed -n 's/^[Ww][Ww][Ww]-[Aa]uthenticate: *[Bb]earer *//p')
    realm=$(challenged realm)
    case $realm in https://*) ;; *) realm='' ;; esac
    [ -z "$realm" ] || curl -q -fsS -G --proto '=https' --connect-timeout 15 \
        --data-urlencode "service=$(challenged service)" \
        --data-urlencode "scope=$(challenged scope)" "$realm" 2>/dev/null |
        tr ',' '\n' | sed -n 's/.*"token" *: *"\([^"]*\)".*/Authorization: Bearer \1/p' >"$work/header"
    [ -s "$work/header" ] || printf 'Accept: */*\n' >"$work/header"
}

challenged() {
    printf '%s' "$challenge" | sed -n "s/.*$1=\"\([^\"]*\)\".*/\1/p"
}

pull() {
    guard=''
    # A puller that is killed outright must not leave its apptainer behind.
    setpriv --pdeathsig TERM true 2>/dev/null && guard='setpriv --pdeathsig TERM'
    if ! resumed_pull || ! matches "$part"; then
        apptainer_pull
        if ! matches "$part"; then
            rm -f "$part"
            fail 16 "the image that came has the sha256 ${sum:-?}, not $hex"
        fi
    fi
    chmod 444 "$part"
    sync "$part" 2>/dev/null || sync
    mv -T "$part" "$final" || fail 17 "cannot write into the store: $store"
    sync "$store" 2>/dev/null || sync
    say pulled "$final"
}

# --- what no run needs any more --------------------------------------------------------------------

jobs_in_queue() {
    jobs=' '
    [ "$scheduler" = slurm ] || return 0
    found=$(squeue --noheader --format=%j) ||
        fail 19 "cannot ask Slurm which jobs there are: nothing is removed from $store"
    # UNICORE's job names have a . where ours have a -
    jobs=" $(printf '%s' "$found" | tr '\n-' ' .') "
}

# Sets `why` where the image must stay, and `day`, when it was used last.
is_needed() {
    day=$(date -r "$image" +%Y-%m-%d) why=''
    [ ! "$image" -nt "$work/then" ] || why=recent
    for mark in "$store/.used/$hex."*; do
        [ -e "$mark" ] || continue
        name=${mark##*/"$hex".}
        used=$(date -r "$mark" +%Y-%m-%d)
        [ "$(printf '%s\n' "$used" "$day" | sort | tail -n 1)" = "$day" ] || day=$used
        [ ! "$mark" -nt "$work/then" ] || why=recent
        case $jobs in
        *" $(printf '%s' "$name" | tr - .) "*) why="job $name" && return 0 ;;
        esac
    done
    [ -n "$why" ]
}

remove() {
    gone=$store/.gone-$hex-$token
    mv -T "$image" "$gone" 2>/dev/null || {
        why='not ours to remove'
        return 1
    }
    # A run that was staged since then has left its mark before it looked for the image.
    image=$gone
    jobs_in_queue
    if is_needed; then
        mv -T "$gone" "$final"
        return 1
    fi
    rm -f "$gone" "$store/.part-$hex" "$store/.used/$hex."*
}

consider() {
    if is_needed; then
        say kept "$hex" "$bytes" "$day" "$why"
    elif [ "$act" = show ]; then
        say unused "$hex" "$bytes" "$day"
    else
        take_lock
        if remove; then
            say removed "$hex" "$bytes" "$day"
        else
            say kept "$hex" "$bytes" "$day" "$why"
        fi
        release_lock
        locked=''
    fi
}

clean() {
    [ $# -eq 4 ] || fail 10 "usage: stage_one.sh clean STORE DAYS SCHEDULER ACT"
    store=$1 days=$2 scheduler=$3 act=$4 hex=clean run=''
    [ -d "$store" ] || exit 0
    prepare
    mkdir "$work" || fail 17 "cannot write into the store: $store"
    jobs_in_queue
    touch -d "@$(($(date +%s) - days * 86400))" "$work/then"
    for left in "$store/.gone-"*; do # of one that was killed half-way
        [ -e "$left" ] || continue
        hex=${left#"$store/.gone-"}
        ! is_dead_or_old "${hex#*-}" || mv -T "$left" "$store/sha256-${hex%%-*}.sif"
    done
    for left in "$store/.part-"*; do # of a pull that was never gone on with
        [ -e "$left" ] && [ "$act" = remove ] || continue
        [ "$left" -nt "$work/then" ] || [ -e "$store/.lock-${left##*/.part-}" ] || rm -f "$left"
    done
    for image in "$store/sha256-"*.sif; do
        [ -e "$image" ] || continue
        hex=${image##*/sha256-}
        hex=${hex%.sif}
        final=$image lock=$store/.lock-$hex bytes=$(stat -c %s "$image")
        consider
    done
}

# --- the start -------------------------------------------------------------------------------------

prepare() {
    final=$store/sha256-$hex.sif
    lock=$store/.lock-$hex
    token=$$.$(date +%s).$(uname -n)
    work=$store/.pull-$hex-$token
    part=$work/part
    locked='' child='' count=0 sum=''
    trap cleanup EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 141' PIPE
    trap 'exit 143' TERM
}

main() {
    if [ "${1:-}" = clean ]; then
        shift
        clean "$@"
        exit 0
    fi
    [ $# -eq 6 ] || fail 10 "usage: stage_one.sh STORE REFERENCE HEX SIZE APPTAINER RUN"
    store=$1 reference=$2 hex=$3 size=$4 apptainer=$5 run=$6
    command -v "$apptainer" >/dev/null || fail 11 "there is no program $apptainer on $(uname -n)"
    mkdir -p "$store" || fail 17 "cannot make the store: $store"
    prepare
    say apptainer "$("$apptainer" --version)"
    ! command -v sbatch >/dev/null || say slurm "$(sbatch --version)"
    mark_used
    mkdir "$work" 2>/dev/null || use_as_it_is
    if [ -e "$final" ] && matches "$final"; then finish; fi
    take_lock
    sweep
    if [ -e "$final" ]; then
        if matches "$final"; then finish; fi
        say altered "$final"
        rm -f "$final" || fail 17 "cannot remove the altered image: $final"
    fi
    require_space
    pull
    rm -rf "$lock.dead-"*
    finish
}

# Nothing here may read the rest of a script that comes on standard input.
main "$@" </dev/null
