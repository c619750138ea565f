#!/bin/bash
#SBATCH --job-name=UNICORE_job
#SBATCH --partition=batch
#SBATCH --account=paying
#SBATCH --exclusive
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --constraint=gpu
#SBATCH --qos=high
#SBATCH --mem=2048
#SBATCH --time=1
#SBATCH --reservation=res
#SBATCH --output=/jobs/abc//stdout
#SBATCH --error=/jobs/abc//stderr
#SBATCH --chdir=/jobs/abc/
umask 0027
/jobs/abc//UNICORE_Job_ABC123
