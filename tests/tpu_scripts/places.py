"""Every verb of every place with the options it needs, and what it must say."""

CLOUD = ["--project", "my-project", "--zone", "us-west4-a"]
TPU_VM = ["--name", "pod", *CLOUD]
GROUP = ["--name", "gpus", *CLOUD, "--count", "3"]
CLUSTER = ["--name", "run-1", "--cluster", "c", *CLOUD]
TPU = [*CLUSTER, "--machine-type", "ct5lp-hightpu-4t", "--topology", "4x4"]
GPU = [*CLUSTER, "--machine-type", "g2-standard-24", "--gpu", "nvidia-l4:2"]
GPU = [*GPU, "--nodes", "3"]
IMAGE = ["--image", "host/labelgraph:1", "--bucket", "my-bucket"]
XPK = [*CLUSTER, "--type", "v5litepod-16"]
SLURM = ["--name", "run-1", "--home", "/shared/lg", "--partition", "gpu"]
SLURM = [*SLURM, "--nodes", "2", "--gpus-per-node", "4"]
TIME = ["--time", "2:00:00"]

# (script, verb, options, what the commands must contain)
VERBS = [
    (
        "tpu_vm.sh",
        "create",
        [*TPU_VM, "--type", "v5litepod-16"],
        [
            "gcloud compute tpus tpu-vm create pod",
            "--accelerator-type=v5litepod-16",
            "--version=v2-alpha-tpuv5-lite",
        ],
    ),
    (
        "tpu_vm.sh",
        "create",
        [*TPU_VM, "--type", "v6e-16", "--queued", "--spot", "--new-bucket", "b-1"],
        [
            "gcloud storage buckets create gs://b-1",
            "--location=us-west4 ",
            "queued-resources create pod",
            "--node-id=pod",
            "--runtime-version=v2-alpha-tpuv6e",
            "--spot",
        ],
    ),
    (
        "tpu_vm.sh",
        "setup",
        [*TPU_VM, "--bucket", "my-bucket"],
        [
            "tar --create",
            "tpu-vm scp",
            "--worker=all",
            "setup --jax tpu --mount /mnt/work --bucket my-bucket",
            "labelgraph doctor",
        ],
    ),
    ("tpu_vm.sh", "run", TPU_VM, ["--worker=all", "start -- labelgraph train"]),
    ("tpu_vm.sh", "resume", TPU_VM, ["--worker=all", "start -- labelgraph train"]),
    ("tpu_vm.sh", "logs", [*TPU_VM, "--follow"], ["--worker=0", "logs follow"]),
    ("tpu_vm.sh", "status", TPU_VM, ["describe pod", "worker.sh status"]),
    ("tpu_vm.sh", "stop", TPU_VM, ["--worker=all", "worker.sh stop"]),
    ("tpu_vm.sh", "delete", TPU_VM, ["tpu-vm delete pod", "--quiet"]),
    (
        "tpu_vm.sh",
        "delete",
        [*TPU_VM, "--queued"],
        ["queued-resources delete pod", "--force"],
    ),
    (
        "gpu_group.sh",
        "create",
        [
            *GROUP,
            *["--machine-type", "n1-standard-8", "--accelerator", "nvidia-tesla-t4:2"],
            *["--image-family", "family", "--image-project", "images", "--spot"],
        ],
        [
            "instances bulk create",
            "--predefined-names=gpus-0,gpus-1,gpus-2",
            "--accelerator=type=nvidia-tesla-t4,count=2",
            "--instance-termination-action=DELETE",
        ],
    ),
    (
        "gpu_group.sh",
        "setup",
        [*GROUP, "--nfs", "10.0.0.2:/share", "--cuda", "cuda12"],
        [
            "scp",
            "setup --jax cuda12 --mount /mnt/work --nfs 10.0.0.2:/share",
            "LABELGRAPH_PROCESS_ID=2 bash labelgraph/tpu_scripts/worker.sh exec --"
            " labelgraph doctor",
        ],
    ),
    (
        "gpu_group.sh",
        "run",
        GROUP,
        [
            "ssh gpus-2",
            "LABELGRAPH_COORDINATOR=gpus-0:8476",
            "LABELGRAPH_PROCESSES=3",
            "LABELGRAPH_PROCESS_ID=0 ",
            "LABELGRAPH_PROCESS_ID=1 ",
            "LABELGRAPH_PROCESS_ID=2 ",
        ],
    ),
    ("gpu_group.sh", "resume", GROUP, ["start -- labelgraph train"]),
    ("gpu_group.sh", "logs", [*GROUP, "--worker", "2"], ["ssh gpus-2", "logs"]),
    ("gpu_group.sh", "status", GROUP, ["ssh gpus-1", "worker.sh status"]),
    ("gpu_group.sh", "stop", GROUP, ["ssh gpus-1", "worker.sh stop"]),
    (
        "gpu_group.sh",
        "delete",
        GROUP,
        ["instances delete gpus-0 gpus-1 gpus-2", "--delete-disks=all"],
    ),
    (
        "gke.sh",
        "create",
        [*TPU, "--spot"],
        [
            "container clusters create c",
            "--addons=GcsFuseCsiDriver",
            "node-pools create run-1",
            "--tpu-topology=4x4",
            "--num-nodes=4",
            "--spot",
            "get-credentials c",
        ],
    ),
    (
        "gke.sh",
        "create",
        [*GPU, "--existing-cluster"],
        ["--accelerator=type=nvidia-l4,count=2", "--num-nodes=3"],
    ),
    (
        "gke.sh",
        "setup",
        [*TPU, *IMAGE],
        [
            "docker build",
            "JAX_EXTRA=tpu",
            "docker push host/labelgraph:1",
            "--context=gke_my-project_us-west4-a_c",
            "releases/download/v0.10.1/manifests.yaml",
            "add-iam-policy-binding gs://my-bucket",
            "--restarts 0",
            "labelgraph doctor",
        ],
    ),
    ("gke.sh", "run", [*TPU, *IMAGE], ["gke.sh manifest", "apply -f -"]),
    ("gke.sh", "run", [*GPU, *IMAGE], ["--gpu nvidia-l4:2 --nodes 3", "apply -f -"]),
    ("gke.sh", "resume", [*TPU, *IMAGE], ["delete jobset run-1", "apply -f -"]),
    ("gke.sh", "logs", [*TPU, "--worker", "3"], ["job-completion-index=3"]),
    ("gke.sh", "status", TPU, ["get jobset run-1", "get pods"]),
    ("gke.sh", "stop", TPU, ["delete jobset run-1"]),
    ("gke.sh", "delete", TPU, ["clusters delete c", "--quiet"]),
    (
        "gke.sh",
        "delete",
        [*TPU, "--existing-cluster"],
        ["delete jobset run-1", "node-pools delete run-1"],
    ),
    (
        "xpk.sh",
        "create",
        [*XPK, "--reservation", "r"],
        ["xpk cluster create", "--tpu-type=v5litepod-16", "--reservation=r"],
    ),
    (
        "xpk.sh",
        "setup",
        [*XPK, *IMAGE],
        ["xpk storage attach run-1-work", "--type=gcsfuse", "labelgraph doctor"],
    ),
    ("xpk.sh", "run", [*XPK, *IMAGE], ["xpk workload create", "--workload=run-1"]),
    ("xpk.sh", "resume", [*XPK, *IMAGE], ["workload delete", "workload create"]),
    ("xpk.sh", "logs", XPK, ["xpk.google.com/workload=run-1"]),
    ("xpk.sh", "status", XPK, ["xpk workload list"]),
    ("xpk.sh", "stop", XPK, ["xpk workload delete", "--workload=run-1"]),
    ("xpk.sh", "delete", XPK, ["xpk cluster delete"]),
    ("slurm.sh", "create", SLURM, ["sinfo --partition=gpu"]),
    ("slurm.sh", "run", [*SLURM, *TIME], ["sbatch", "--dependency=singleton"]),
    ("slurm.sh", "resume", [*SLURM, *TIME], ["sbatch", "--ntasks-per-node=4"]),
    (
        "slurm.sh",
        "run",
        [*SLURM, *TIME, "--per-node"],
        ["JAX_LOCAL_DEVICE_IDS=0,1,2,3", "--ntasks-per-node=1"],
    ),
    ("slurm.sh", "logs", SLURM, ["/shared/lg/logs/run-1.log"]),
    ("slurm.sh", "status", SLURM, ["squeue --name=run-1 --user=ada"]),
    ("slurm.sh", "stop", SLURM, ["--state=RUNNING --signal=TERM"]),
    ("slurm.sh", "delete", SLURM, ["scancel --name=run-1 --user=ada"]),
]
