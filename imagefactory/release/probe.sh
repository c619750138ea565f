#!/bin/sh
# Which releases of the ESD can be seen from here? POSIX sh and coreutils; changes nothing, starts
# nothing but `module` and `apptainer inspect`, where they are. Arguments: folders of staged images.
# Output: lines of a kind, a tab and a value; the first one names the format.
printf 'imagefactory-probe\t1\n'

say() { [ -z "$2" ] || printf '%s\t%s\n' "$1" "$2"; }

say host "$(uname -n)"
# EBRAINS JupyterLab: kernel and image of this session.
say kernel "${LAB_KERNEL_NAME:-}"
say lab-image "${LAB_IMAGE_NAME:-}"
# Modules of an HPC site, by their files; `module avail` may take minutes.
(
    IFS=:
    set -f
    for folder in ${MODULEPATH:-}; do
        set +f
        for file in "$folder"/ebrains/* "$folder"/EBRAINS/*; do
            if [ -f "$file" ]; then say module "ebrains/$(basename "$file" .lua)"; fi
        done
        set -f
    done
)
# Spack instances and environments, as the Lab lays them out.
for folder in "${SPACK_ENV:-}" /srv/main-spack-instance-*; do
    if [ -d "$folder" ]; then say spack "$folder"; fi
done
# Images that were staged, with the release on their label.
for folder in "$@"; do
    for image in "$folder"/*.sif; do
        [ -f "$image" ] || continue
        label=$("${APPTAINER:-apptainer}" inspect --labels "$image" 2>/dev/null |
            sed -n 's/^org\.ebrains\.imagefactory\.release: *//p')
        say image "$(basename "$image") ${label:-unknown}"
    done
done
exit 0
