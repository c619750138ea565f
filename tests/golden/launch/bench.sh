mkdir -p '/w/a b' && cd '/w/a b' || exit 1
cat >pingpong.py <<'IMAGEFACTORY-END'
PROGRAM
IMAGEFACTORY-END
(
export OMP_NUM_THREADS=1  # NEST takes its threads from the model; other OpenMP code must not take more (docs of NEST 3.10, parallel computing)
export PYTHONNOUSERSITE=1  # packages in the user's home must not shadow the image's: Apptainer mounts the home folder (facts/pmix-containers.md 8, defaults that matter)
unset PYTHONPATH  # a module of the host leaks in (facts/pmix-containers.md 8, env the host leaks)
unset PYTHONHOME  # a module of the host leaks in (facts/pmix-containers.md 8, env the host leaks)
unset OPAL_PREFIX  # points at the host's Open MPI (facts/pmix-containers.md 4, row 33)
unset PMIX_PREFIX  # points at the host's PMIx (facts/pmix-containers.md 4, row 33)
unset APPTAINERENV_LD_LIBRARY_PATH  # would put the host's libraries before the image's (facts/pmix-containers.md 3.5, 4 row 31)
export OMPI_MCA_btl_vader_single_copy_mechanism=none  # ranks of a node may be in different user namespaces, where CMA is refused and big messages hang (facts/pmix-containers.md 2.3 and 4, row 17)
echo "IMAGEFACTORY-PART image one node"
IMAGEFACTORY_BEGAN=$(date +%s.%N); export IMAGEFACTORY_BEGAN
timeout -k 5 120 srun --time=5 --partition=batch --account=proj --mpi=pmix --nodes=1 --ntasks=2 --cpus-per-task=1 --kill-on-bad-exit=1 --label apptainer exec --sharens --bind '/w/a b:/w/a b' --pwd '/w/a b' /s/x.sif python3 '/w/a b/pingpong.py' libmpi.so.40 numpy 2>&1 </dev/null
echo "IMAGEFACTORY-STATUS $?"
)
(
export OMP_NUM_THREADS=1  # NEST takes its threads from the model; other OpenMP code must not take more (docs of NEST 3.10, parallel computing)
export PYTHONNOUSERSITE=1  # packages in the user's home must not shadow the image's: Apptainer mounts the home folder (facts/pmix-containers.md 8, defaults that matter)
unset PYTHONPATH  # a module of the host leaks in (facts/pmix-containers.md 8, env the host leaks)
unset PYTHONHOME  # a module of the host leaks in (facts/pmix-containers.md 8, env the host leaks)
unset OPAL_PREFIX  # points at the host's Open MPI (facts/pmix-containers.md 4, row 33)
unset PMIX_PREFIX  # points at the host's PMIx (facts/pmix-containers.md 4, row 33)
unset APPTAINERENV_LD_LIBRARY_PATH  # would put the host's libraries before the image's (facts/pmix-containers.md 3.5, 4 row 31)
export OMPI_MCA_btl_vader_single_copy_mechanism=none  # ranks of a node may be in different user namespaces, where CMA is refused and big messages hang (facts/pmix-containers.md 2.3 and 4, row 17)
echo "IMAGEFACTORY-PART osu one node"
IMAGEFACTORY_BEGAN=$(date +%s.%N); export IMAGEFACTORY_BEGAN
timeout -k 5 120 srun --time=5 --partition=batch --account=proj --mpi=pmix --nodes=1 --ntasks=2 --cpus-per-task=1 --kill-on-bad-exit=1 --label apptainer exec --sharens --bind '/w/a b:/w/a b' --pwd '/w/a b' /s/x.sif sh -c 'command -v osu_latency >/dev/null || exit 127; exec osu_latency -m 8:4194304' 2>&1 </dev/null
echo "IMAGEFACTORY-STATUS $?"
)
echo "IMAGEFACTORY-PART host one node"
IMAGEFACTORY_BEGAN=$(date +%s.%N); export IMAGEFACTORY_BEGAN
timeout -k 5 120 srun --time=5 --partition=batch --account=proj --mpi=pmix --nodes=1 --ntasks=2 --label sh -c 'for lib in libmpi.so.40 libmpi.so.12; do python3 '"'"'/w/a b/pingpong.py'"'"' "$lib" numpy && exit 0; done; exit 1' 2>&1 </dev/null
echo "IMAGEFACTORY-STATUS $?"
(
export OMP_NUM_THREADS=1  # NEST takes its threads from the model; other OpenMP code must not take more (docs of NEST 3.10, parallel computing)
export PYTHONNOUSERSITE=1  # packages in the user's home must not shadow the image's: Apptainer mounts the home folder (facts/pmix-containers.md 8, defaults that matter)
unset PYTHONPATH  # a module of the host leaks in (facts/pmix-containers.md 8, env the host leaks)
unset PYTHONHOME  # a module of the host leaks in (facts/pmix-containers.md 8, env the host leaks)
unset OPAL_PREFIX  # points at the host's Open MPI (facts/pmix-containers.md 4, row 33)
unset PMIX_PREFIX  # points at the host's PMIx (facts/pmix-containers.md 4, row 33)
unset APPTAINERENV_LD_LIBRARY_PATH  # would put the host's libraries before the image's (facts/pmix-containers.md 3.5, 4 row 31)
echo "IMAGEFACTORY-PART image two nodes"
IMAGEFACTORY_BEGAN=$(date +%s.%N); export IMAGEFACTORY_BEGAN
timeout -k 5 120 srun --time=5 --partition=batch --account=proj --mpi=pmix --nodes=2 --ntasks=2 --cpus-per-task=1 --kill-on-bad-exit=1 --label apptainer exec --bind '/w/a b:/w/a b' --pwd '/w/a b' /s/x.sif python3 '/w/a b/pingpong.py' libmpi.so.40 numpy 2>&1 </dev/null
echo "IMAGEFACTORY-STATUS $?"
)
(
export OMP_NUM_THREADS=1  # NEST takes its threads from the model; other OpenMP code must not take more (docs of NEST 3.10, parallel computing)
export PYTHONNOUSERSITE=1  # packages in the user's home must not shadow the image's: Apptainer mounts the home folder (facts/pmix-containers.md 8, defaults that matter)
unset PYTHONPATH  # a module of the host leaks in (facts/pmix-containers.md 8, env the host leaks)
unset PYTHONHOME  # a module of the host leaks in (facts/pmix-containers.md 8, env the host leaks)
unset OPAL_PREFIX  # points at the host's Open MPI (facts/pmix-containers.md 4, row 33)
unset PMIX_PREFIX  # points at the host's PMIx (facts/pmix-containers.md 4, row 33)
unset APPTAINERENV_LD_LIBRARY_PATH  # would put the host's libraries before the image's (facts/pmix-containers.md 3.5, 4 row 31)
echo "IMAGEFACTORY-PART osu two nodes"
IMAGEFACTORY_BEGAN=$(date +%s.%N); export IMAGEFACTORY_BEGAN
timeout -k 5 120 srun --time=5 --partition=batch --account=proj --mpi=pmix --nodes=2 --ntasks=2 --cpus-per-task=1 --kill-on-bad-exit=1 --label apptainer exec --bind '/w/a b:/w/a b' --pwd '/w/a b' /s/x.sif sh -c 'command -v osu_latency >/dev/null || exit 127; exec osu_latency -m 8:4194304' 2>&1 </dev/null
echo "IMAGEFACTORY-STATUS $?"
)
echo "IMAGEFACTORY-PART host two nodes"
IMAGEFACTORY_BEGAN=$(date +%s.%N); export IMAGEFACTORY_BEGAN
timeout -k 5 120 srun --time=5 --partition=batch --account=proj --mpi=pmix --nodes=2 --ntasks=2 --label sh -c 'for lib in libmpi.so.40 libmpi.so.12; do python3 '"'"'/w/a b/pingpong.py'"'"' "$lib" numpy && exit 0; done; exit 1' 2>&1 </dev/null
echo "IMAGEFACTORY-STATUS $?"
cd / && rm -rf '/w/a b'
