#!/bin/sh
#SBATCH --job-name=r1
#SBATCH --nodes=2
#SBATCH --ntasks=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=1
#SBATCH --time=30
#SBATCH --output=/shared/runs/r1/%a.log
#SBATCH --no-requeue
#SBATCH --partition=batch
#SBATCH --account=proj
#SBATCH --array=0-1
# Ensemble r1, written by imagefactory: one task, one run.
set -- /shared/runs/r1-5 /shared/runs/r1-6
shift "$SLURM_ARRAY_TASK_ID"
cd "$1" && mkdir -p output || exit 1
exec sh job.sh >output/job.log 2>&1
