#!/bin/sh
#SBATCH --job-name=r1
#SBATCH --nodes=2
#SBATCH --ntasks=4
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=1
#SBATCH --time=30
#SBATCH --chdir=/shared/runs/r1
#SBATCH --output=/shared/runs/r1/output/job.log
#SBATCH --no-requeue
#SBATCH --partition=batch
#SBATCH --account=proj
# Run r1, written by imagefactory.
cd /shared/runs/r1 || exit 1
export LC_ALL=C.UTF-8
export OMP_NUM_THREADS=1  # NEST takes its threads from the model; other OpenMP code must not take more (docs of NEST 3.10, parallel computing)
export PYTHONNOUSERSITE=1  # packages in the user's home must not shadow the image's: Apptainer mounts the home folder (facts/pmix-containers.md 8, defaults that matter)
unset PYTHONPATH  # a module of the host leaks in (facts/pmix-containers.md 8, env the host leaks)
unset PYTHONHOME  # a module of the host leaks in (facts/pmix-containers.md 8, env the host leaks)
unset OPAL_PREFIX  # points at the host's Open MPI (facts/pmix-containers.md 4, row 33)
unset PMIX_PREFIX  # points at the host's PMIx (facts/pmix-containers.md 4, row 33)
unset PMIX_INSTALL_PREFIX  # set by mpirun of Open MPI 4.1: ranks of another folder hang (measured: docs/confusion.md)
unset APPTAINERENV_LD_LIBRARY_PATH  # would put the host's libraries before the image's (facts/pmix-containers.md 3.5, 4 row 31)
export OMPI_MCA_btl_vader_single_copy_mechanism=none  # ranks of a node may be in different user namespaces, where CMA is refused and big messages hang (facts/pmix-containers.md 2.3 and 4, row 17)
{ apptainer --version; srun --version; srun --mpi=list; } >output/site.txt 2>&1
srun --mpi=pmix --nodes=2 --ntasks=4 --cpus-per-task=1 --kill-on-bad-exit=1 --label apptainer exec --sharens --bind /shared/runs/r1:/shared/runs/r1 --pwd /shared/runs/r1 /shared/store/sha256-abababababababababababababababababababababababababababababababab.sif python3 inside/start.py parameters.json
status=$?
echo "$status" >output/.exit-status && mv output/.exit-status output/exit-status
exit "$status"
