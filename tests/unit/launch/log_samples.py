"""One log a row of the symptom table, made of the lines that facts/pmix-containers.md quotes.

Where that table has no text (rows 1, 27) the shapes are those of its verbosity knobs and of public
sources. Written here, not recorded, unless the name says so; hosts and numbers are made up.
"""

SAMPLES: dict[int, tuple[str, ...]] = {
    1: (
        "Hello world from processor c1, rank 0 out of 1 processors\n" * 2,
        "0: 0 of 1\n1: 0 of 1\n",
        "imagefactory: 2 ranks were asked for, but this process sees a world of 1 rank (x)\n",
    ),
    2: (
        "0: No PMIx server was reachable, but a PMI1/2 was detected.\n",
        "0: No PMIx server was reachable, but\n1: other\n0: a PMI1/2 was detected.\n",
    ),
    3: (
        'The application appears to have been direct launched using "srun",\n'
        "but OMPI was not built with SLURM's PMI support and therefore cannot\n",
        'launched using "srun",\nbut OMPI was not built with SLURM support. This usually\n',
    ),
    4: (
        "[c1:00123] OPAL ERROR: Unreachable in file ext3x_client.c at line 111\n",
        "[c1:00123] OPAL ERROR: Unreachable in file pmix3x_client.c at line 112\n",
    ),
    5: ("PMIx_Init returned -25\n", "PMIx_Init failed: PMIX_ERR_UNREACH\n"),
    6: ("[c1:12] PMIX ERROR: PMIX_ERR_FILE_OPEN_FAILURE in file gds_shmem2.c at line 1057\n",),
    7: (
        "[c1:12] PMIX ERROR: NO-PERMISSIONS in file dstore_base.c at line 237\n",
        "[c1:12] PMIX ERROR: ERROR in file gds_ds12_lock_pthread.c at line 168\n",
        "[c1:12] PMIX ERROR: OUT-OF-RESOURCE in file gds_dstore.c at line 1\n",
    ),
    8: ("  Host:      c1\n  Framework: psec\n  Component: munge\n",),
    9: (
        "  Framework: psec\n  Component: munge\nmore\nmore\nmore\nmore\nPMIx_Init failed\n",
        "0:  Framework: psec\n1:  Framework: psec\n0:  Component: munge\n1: no-pmi, aborting\n",
    ),
    10: ("psec: munge failed to create credential: Socket communication error\n",),
    11: (
        "[c1:3] PMIX ERROR: PMIX_ERR_PACK_MISMATCH in file base/bfrop_base_unpack.c at line 750\n",
        "[c1:3] UNPACK-PMIX-VALUE: UNSUPPORTED TYPE 104\n",
        "[c1:3] PMIX ERROR: OUT-OF-RESOURCE in file base/bfrop_base_unpack.c at line 750\n",
    ),
    12: (
        "[c1:3] PMIX ERROR: PMIX_ERR_OUT_OF_RESOURCE in file client/pmix_client.c at line 278\n",
        "PMIX ERROR: PMIX_ERR_BAD_PARAM in file gds_shmem2_store.c at line 446\n",
    ),
    13: (
        "PMIx attempted to attach to a shared-memory segment at a\nparticular base address, but\n",
    ),
    14: ("pmix_ifinit: unable to find network interfaces.\n",),
    15: ("[host:00001] *** Process received signal ***\n[host:00001] Signal: Segmentation\n",),
    16: ("Read -1, expected 65536, errno = 1\n",),
    17: (
        "WARNING: The default btl_vader_single_copy_mechanism CMA is\n"
        "not available due to different user namespaces.\n",
    ),
    18: (
        "[1.2] [c1:7:0] cma_ep.c:87   UCX  ERROR process_vm_readv(pid=12 length=8192) "
        "returned -1: Operation not permitted\n",
    ),
    19: (
        "[1.2] [c1:7:0] mm_posix.c:234  UCX  ERROR open(file_name=/proc/12/fd/30 flags=0x0) "
        "failed: Permission denied\n",
        "[1.2] [c1:7:0] ucp_context.c:2190 UCX  INFO  ucp_context_0 intra-node cfg#1 "
        "tag(sysv/memory tcp/eth0)\n",
    ),
    20: (
        "[1.2] [c1:7:0] mm_posix.c:206  UCX  ERROR open(file_name=/proc/12/fd/30 flags=0x0) "
        "failed: No such file or directory\n",
        "pml_ucx.c:424  Error: ucp_ep_create(proc=1) failed: Shared memory error\n",
    ),
    21: ("cma_ep.c:87 UCX ERROR process_vm_readv(pid=3 length=9) returned -1: Bad address\n",),
    22: (
        "No components were able to be opened in the pml framework.\n",
        "PML ucx cannot be selected\n",
    ),
    23: ("UCX WARN transport 'ib' is not available, please use one or more of: cma, self\n",),
    24: (
        "libibverbs: Warning: couldn't load driver 'libmlx5-rdmav34.so': no such file\n",
        "libmlx5.so: version `IBVERBS_PRIVATE_34' not found\n",
    ),
    25: (
        "libibverbs: Warning: couldn't open config directory '/etc/libibverbs.d'.\n",
        "libibverbs: Warning: no userspace device-specific driver found for /sys/x\n",
    ),
    26: ("ib_iface.c UCX ERROR ibv_create_cq(cqe=4096) failed: Cannot allocate memory\n",),
    27: (
        "[1.2] [c1:7:0] ucp_worker.c:1 UCX INFO ep_cfg[2]: tag(tcp/eth0)\n",
        "[1.2] [c1:7:0] ucp_worker.c:1 UCX INFO ucp_context_0 inter-node cfg#3 tag(tcp/eth0)\n",
        "[c1:00012] mca: bml: Using tcp btl for send to [[3012,1],1] on node c2\n",
        "libfabric provider: tcp - 10.0.0.0/8\n",
        "<PSP:r0000000:CONNECT (10.0.0.1,12,0x0,r0) to (10.0.0.2,13,0x0,r1) via tcp>\n",
    ),
    28: (
        "libfabric:7:core:core:fi_getinfo_():1019<warn> fi_getinfo: provider psm2 returned -61 "
        "(No data available)\n",
    ),
    29: ("sysv.c UCX ERROR shmget(size=4263936 flags=0xfb0) failed: No space left on device\n",),
    30: (
        "Open MPI detected an inbound MPI TCP connection request from a peer\nthat is unexpected\n",
        "1 more process has sent help message help-opal-shmem-mmap.txt / sys call fail\n",
        "A system call failed during shared memory initialization that should\nnot have.\n",
    ),
    31: ("/lib/libm.so.6: version `GLIBC_2.38' not found (required by ls)\n",),
    32: (
        "Illegal instruction (core dumped)\n",
        "srun: error: c1: task 1: Illegal instruction\n",
    ),
    33: (
        "mca:base:process_repository_item Module mca_pmix has bad prefix - expected pmix_mca_\n",
        "imagefactory: /lib/libmpi.so.40 is not the image's: it is bound from the host\n",
    ),
    34: (
        "Sorry!  But I couldn't open the help file:\n    /opt/p/share/pmix/help-x.txt: missing\n",
    ),
    35: (
        "mpi/pmix: _pmix_p2p_send_core: ERROR: Can't find address for host c2, check slurm.conf\n",
        "mpi/pmix_v4: pmixp_coll_ring_reset_if_to: c1 [0]: collective timed out seq=1\n",
    ),
    36: ("Fatal error in MPI_Init: **pmi_version_auto_ambiguous\n",),
    37: (
        "Runtime environment uses unsupported PMI version PMIx. Aborting.\n",
        "MPIR_pmi_init: **pmi_version_auto_not_supported\n",
    ),
    38: (
        "FATAL:   container creation failed: mount hook function failure\n",
        "FATAL:   container creation failed: image driver mount failure: fuse: device\n",
        "FATAL:   no instance found with name sharens_instance_1224\n",
        'FATAL:   "nosuch": executable file not found in $PATH\n',
        "FATAL:   While making image from oci registry: error fetching image\n",
        'FATAL:   while extracting x.sif: exec: "unsquashfs": executable file not found in $PATH\n',
    ),
}

# Lines that logs of runs which were well really have, here and in the facts.
WELL = """\
0: INFO:    gocryptfs not found, will not be able to use gocryptfs
1: INFO:    fuseNfs not found, will not be able to mount EXTFS filesystems
[1,0]<stdout>:[INFO] [2026.11.23 13:2:1] OMP_NUM_THREADS is set in your environment
For details, see the Guide to parallel computing in the NEST Documentation.
rank 0 of 16: step 0 of 1
Hello world from processor c1, rank 0 out of 2 processors
Hello world from processor c1, rank 1 out of 2 processors
0: IMAGEFACTORY-HELLO 0 2
[1.2] [c1:7:0] ucp_context.c:2190 UCX  INFO  ucp_context_0 self cfg#0 tag(self/memory cma/memory)
[1.2] [c1:7:0] ucp_worker.c:9 UCX  INFO  ctx_0 intra-node cfg#1 tag(sysv/memory cma/memory)
[1.2] [c1:7:0] ucp_context.c:2190 UCX  INFO  ucp_context_0 inter-node cfg#2 tag(rc_mlx5/mlx5_0:1)
[c1:00012] mca: bml: Using vader btl for send to [[3012,1],1] on node c1
[c1:00012] mca: bml: Not using tcp btl for send to [[3012,1],1] on node c2
libfabric provider: verbs;ofi_rxm - mlx5_0
<PSP:r0000000:CONNECT (10.0.0.1,12,0x0,r0) to (10.0.0.1,13,0x0,r1) via shm>
<PSP:r0000000:ACCEPT  (10.0.0.1,12,0x0,r0) to (10.0.0.2,13,0x0,r2) via openib>
"""
