#!/usr/bin/env bash
# GKE: a JobSet, one pod per host of a TPU slice or per GPU node.
set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'USAGE'
usage: gke.sh VERB --name NAME --cluster C --project P --zone Z --machine-type M
              (--topology 4x4 | --gpu nvidia-l4:2 --nodes 4) [options] [-- COMMAND...]

create    the cluster and a node pool named NAME   [--spot] [--existing-cluster]
                                                   [--new-bucket B]
setup     image, JobSet, bucket access, doctor     --image I --bucket B [--cuda cuda13]
                                                   [--no-build] [--jobset v0.10.1]
manifest  the JobSet as YAML on stdout             --image I --bucket B [-- COMMAND...]
run       apply that manifest                      the same
resume    delete the JobSet, apply it again        the same
logs      of --worker 0 (default), N or all        [--follow]
status    of the JobSet and its pods
stop      delete the JobSet: checkpoints are saved; nodes stay, and cost
delete    the cluster; with --existing-cluster the node pool alone

COMMAND      default: labelgraph train --workdir MOUNT/NAME
--claim PVC  instead of --bucket: a ReadWriteMany claim, e.g. on Filestore
--mount      where pods see it, default /mnt/work
--restarts   how often a JobSet starts again after a failure or preemption, default 10
--grace      seconds between SIGTERM and SIGKILL, default 300
--dry-run    print the commands, run nothing
USAGE
}

verbs="create setup manifest run resume logs status stop delete"
verb_of "$verbs" "$@"
shift
parse_options \
  "name cluster project zone machine-type topology gpu nodes accelerator image bucket
   claim new-bucket mount cuda jobset restarts grace worker suffix" \
  "spot existing-cluster no-build follow" "$@"
if [[ -n ${option[help]-} ]]; then
  usage
  exit 0
fi
need_name
need_project_and_zone
need cluster my-cluster
[[ ${option[cluster]} =~ ^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$ ]] ||
  die "--cluster must be lower-case letters, digits and hyphens; got ${option[cluster]}"
name=${option[name]}
cluster=${option[cluster]}
context=gke_${option[project]}_${option[zone]}_$cluster
where=(--project="${option[project]}" --location="${option[zone]}")

# hosts, chips (of a host) and accelerator (GKE's label) from what was asked for.
need_accelerator() {
  need machine-type ct5lp-hightpu-4t
  local machine=${option[machine-type]} factor total=1
  [[ $machine =~ ^[a-z0-9]+-[a-z0-9-]+$ ]] ||
    die "--machine-type must look like ct5lp-hightpu-4t; got $machine"
  if [[ -n ${option[topology]-} && -z ${option[gpu]-} ]]; then
    [[ ${option[topology]} =~ ^[0-9]+x[0-9]+(x[0-9]+)?$ ]] ||
      die "--topology must look like 4x4 or 2x2x4; got ${option[topology]}"
    [[ $machine =~ -([0-9]+)t$ ]] ||
      die "--machine-type of a TPU must end in its chips, e.g. -4t; got $machine"
    chips=${BASH_REMATCH[1]}
    for factor in ${option[topology]//x/ }; do total=$((total * factor)); done
    ((total >= chips && total % chips == 0)) ||
      die "--topology must be a whole number of $chips-chip machines; got" \
        "${option[topology]}, $total chips"
    hosts=$((total / chips))
    case $machine in
      ct4p-*) accelerator=tpu-v4-podslice ;;
      ct5lp-*) accelerator=tpu-v5-lite-podslice ;;
      ct5p-*) accelerator=tpu-v5p-slice ;;
      ct6e-*) accelerator=tpu-v6e-slice ;;
      *)
        need accelerator "tpu-v6e-slice (GKE's label for a machine type it is not told)"
        ;;
    esac
    accelerator=${option[accelerator]-${accelerator-}}
    template=$here/gke/jobset-tpu.yaml.template
    jax=tpu
    resource=google.com/tpu
  elif [[ -n ${option[gpu]-} && -z ${option[topology]-} ]]; then
    [[ ${option[gpu]} =~ ^([a-z0-9-]+):([1-9][0-9]?)$ ]] ||
      die "--gpu must be TYPE:COUNT of one node, e.g. nvidia-l4:2; got ${option[gpu]}"
    accelerator=${BASH_REMATCH[1]}
    chips=${BASH_REMATCH[2]}
    need_count nodes 4
    hosts=${option[nodes]}
    template=$here/gke/jobset-gpu.yaml.template
    jax=${option[cuda]-cuda13}
    [[ $jax =~ ^cuda1[23]$ ]] ||
      die "--cuda must be cuda13 or cuda12, as the driver allows; got $jax"
    resource=nvidia.com/gpu
  else
    die "--topology (TPU) or --gpu (GPU) must be given, one of the two; got" \
      "${option[topology]-nothing} and ${option[gpu]-nothing}"
  fi
}

need_manifest_options() {
  need_accelerator
  need image us-docker.pkg.dev/my-project/my-repository/labelgraph:1
  need_mount
  if [[ -n ${option[claim]-} ]]; then
    [[ -z ${option[bucket]-} ]] ||
      die "--bucket or --claim must be given, not both; got both"
    [[ ${option[claim]} =~ ^[a-z0-9][-a-z0-9.]*$ ]] ||
      die "--claim must be a claim's name; got ${option[claim]}"
  else
    need_bucket
  fi
  option[restarts]=${option[restarts]-10}
  option[grace]=${option[grace]-300}
  need_count restarts 10 0
  need_count grace 300
}

# A JSON string, which YAML reads, too, whatever is in it.
json() {
  local text=$1 letter i
  printf '"'
  for ((i = 0; i < ${#text}; i++)); do
    letter=${text:i:1}
    case $letter in
      \\ | '"') printf '\\%s' "$letter" ;;
      $'\n') printf '\\n' ;;
      [[:cntrl:]]) printf '\\u%04x' "'$letter" ;;
      *) printf '%s' "$letter" ;;
    esac
  done
  printf '"'
}

# A pod's command as a JSON list. Kubernetes puts variables where it reads $(NAME); a
# doubled dollar is a dollar.
json_command() {
  local separator='' word
  printf '['
  for word in "$@"; do
    printf '%s' "$separator"
    json "${word//\$/\$\$}"
    separator=', '
  done
  printf ']'
}

# The doctor's JobSet has a name of its own, and the run's node pool.
render() { # COMMAND...
  local jobset=$name${option[suffix]:+-${option[suffix]}}
  local line word volume annotations='{}' tolerations
  if [[ -n ${option[claim]-} ]]; then
    volume="{\"name\": \"work\", \"persistentVolumeClaim\":$(
    ) {\"claimName\": $(json "${option[claim]}")}}"
  else
    volume="{\"name\": \"work\", \"csi\": {\"driver\": \"gcsfuse.csi.storage.gke.io\",$(
    ) \"volumeAttributes\": {\"bucketName\": $(json "${option[bucket]}"),$(
    ) \"mountOptions\": \"implicit-dirs,rename-dir-limit=200000\"}}}"
    annotations='{"gke-gcsfuse/volumes": "true"}'
  fi
  tolerations="[{\"key\": \"$resource\", \"operator\": \"Exists\"},$(
  ) {\"key\": \"cloud.google.com/gke-spot\", \"operator\": \"Exists\"}]"
  declare -A value=(
    [NAME]=$(json "$jobset") [RESTARTS]=${option[restarts]} [HOSTS]=$hosts
    [ANNOTATIONS]=$annotations [GRACE]=${option[grace]} [CHIPS]=$chips
    [ACCELERATOR]=$(json "$accelerator") [TOPOLOGY]=$(json "${option[topology]-}")
    [TOLERATIONS]=$tolerations [IMAGE]=$(json "${option[image]}")
    [MOUNT]=$(json "${option[mount]}") [VOLUME]=$volume
    [PROCESSES]=$(json "$hosts") [COORDINATOR]=$(json "$jobset-workers-0-0.$jobset:8476")
    [POOL]=$(json "$name")
    [COMMAND]=$(json_command /bin/sh -c "$(<"$here/gke/pod.sh")" pod "$@")
  )
  while IFS= read -r line; do
    if [[ $line != '#'* && $line =~ @([A-Z]+)@ ]]; then
      word=${BASH_REMATCH[1]}
      line=${line%%"@$word@"*}${value[$word]}${line#*"@$word@"}
    fi
    printf '%s\n' "$line"
  done <"$template"
}

kube() { perform kubectl --context="$context" "$@"; }

# The manifest is made by this script's own verb, so that the line can be copied.
apply() { # SUFFIX COMMAND...
  local suffix=$1 words=() word
  shift
  for word in name cluster project zone machine-type topology gpu nodes accelerator \
    image bucket claim mount cuda restarts grace; do
    if [[ -n ${option[$word]-} ]]; then words+=("--$word" "${option[$word]}"); fi
  done
  if [[ -n $suffix ]]; then words+=(--suffix "$suffix"); fi
  perform_line "$(quote bash "$here/gke.sh" manifest "${words[@]}" -- "$@") |$(
  ) $(quote kubectl --context="$context" apply -f -)"
}

create() {
  need_accelerator
  local extra=()
  new_bucket
  if [[ -z ${option[existing-cluster]-} ]]; then
    perform gcloud container clusters create "$cluster" "${where[@]}" \
      --num-nodes=1 --machine-type=e2-standard-4 \
      --workload-pool="${option[project]}.svc.id.goog" \
      --addons=GcsFuseCsiDriver,GcpFilestoreCsiDriver
  fi
  if [[ $jax != tpu ]]; then
    extra+=(--accelerator="type=$accelerator,count=$chips,gpu-driver-version=latest")
  elif ((hosts > 1)); then
    # On a single host the machine type says it all.
    extra+=(--tpu-topology="${option[topology]}")
  fi
  if [[ -n ${option[spot]-} ]]; then extra+=(--spot); fi
  perform gcloud container node-pools create "$name" --cluster="$cluster" \
    "${where[@]}" --machine-type="${option[machine-type]}" --num-nodes="$hosts" \
    --node-locations="${option[zone]}" --workload-metadata=GKE_METADATA \
    ${extra[@]+"${extra[@]}"}
  perform gcloud container clusters get-credentials "$cluster" "${where[@]}"
  note "from now on cluster and nodes cost, until gke.sh delete"
}

setup() {
  need_manifest_options
  local version=${option[jobset]-v0.10.1} bucket=${option[bucket]-} member
  note "JobSet $version"
  if [[ -z ${option[no-build]-} ]]; then
    perform docker build --file="$here/gke/Dockerfile" --build-arg="JAX_EXTRA=$jax" \
      --tag="${option[image]}" "$repository"
    perform docker push "${option[image]}"
  fi
  kube apply --server-side -f \
    "https://github.com/kubernetes-sigs/jobset/releases/download/$version/manifests.yaml"
  kube wait deployment/jobset-controller-manager --namespace=jobset-system \
    --for=condition=Available --timeout=300s
  if [[ -n $bucket ]]; then
    # Workload identity: the pods' own account may use the bucket.
    member="\"principal://iam.googleapis.com/projects/\$(gcloud projects describe $(
    )${option[project]} --format='value(projectNumber)')/locations/global/$(
    )workloadIdentityPools/${option[project]}.svc.id.goog/subject/ns/default/sa/default\""
    perform_line "gcloud storage buckets add-iam-policy-binding gs://$bucket $(
    )--project=${option[project]} --role=roles/storage.objectUser --member=$member"
  fi
  option[restarts]=0
  apply doctor labelgraph doctor
  kube wait "jobset/$name-doctor" --for=condition=Completed --timeout=900s
  kube logs --selector="jobset.sigs.k8s.io/jobset-name=$name-doctor" --prefix \
    --container=labelgraph --max-log-requests=1000 --tail=-1
  kube delete jobset "$name-doctor"
}

logs() {
  local selector=jobset.sigs.k8s.io/jobset-name=$name worker=${option[worker]-0}
  local extra=()
  [[ $worker =~ ^([0-9]+|all)$ ]] ||
    die "--worker must be a number or all; got $worker"
  if [[ $worker != all ]]; then
    selector+=,batch.kubernetes.io/job-completion-index=$worker
  fi
  if [[ -n ${option[follow]-} ]]; then extra+=(--follow); fi
  kube logs --selector="$selector" --container=labelgraph --prefix \
    --max-log-requests=1000 --tail=-1 ${extra[@]+"${extra[@]}"}
}

case $chosen_verb in
  create) create ;;
  setup) setup ;;
  manifest)
    need_manifest_options
    need_worker_command "${option[mount]}/$name"
    render "${worker_command[@]}"
    ;;
  run)
    need_manifest_options
    need_worker_command "${option[mount]}/$name"
    apply "" "${worker_command[@]}"
    ;;
  resume)
    need_manifest_options
    need_worker_command "${option[mount]}/$name"
    kube delete jobset "$name" --ignore-not-found --cascade=foreground
    apply "" "${worker_command[@]}"
    ;;
  logs) logs ;;
  status)
    kube get jobset "$name"
    kube get pods --selector="jobset.sigs.k8s.io/jobset-name=$name" -o wide
    ;;
  stop) kube delete jobset "$name" --ignore-not-found --cascade=foreground ;;
  delete)
    if [[ -n ${option[existing-cluster]-} ]]; then
      kube delete jobset "$name" --ignore-not-found --cascade=foreground
      perform gcloud container node-pools delete "$name" --cluster="$cluster" \
        "${where[@]}" --quiet
      note "the cluster stays, and costs"
    else
      perform gcloud container clusters delete "$cluster" "${where[@]}" --quiet
    fi
    note "buckets, images and Filestore stay, and cost; README.md says how to find them"
    ;;
esac
