#!/usr/bin/env bash
# GKE TPU slices through XPK (pip install xpk), which makes the cluster and the JobSet.
set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'USAGE'
usage: xpk.sh VERB --name NAME --cluster C --project P --zone Z --type v5litepod-16
              [options] [-- COMMAND...]

create   the cluster             [--spot | --reservation R] [--slices 1] [--new-bucket B]
setup    image, storage, doctor  --image I --bucket B [--mount /mnt/work] [--no-build]
run      a workload named NAME   --image I [--slices 1] [--restarts 10] [--grace 300]
resume   delete the workload, create it again
logs     of --worker 0 (default), N or all; --follow
status   of the cluster's workloads
stop     delete the workload: checkpoints are saved; nodes stay, and cost
delete   the cluster

COMMAND     default: labelgraph train --workdir MOUNT/NAME
--dry-run   print the commands, run nothing
USAGE
}

verbs="create setup run resume logs status stop delete"
verb_of "$verbs" "$@"
shift
parse_options \
  "name cluster project zone type slices image bucket new-bucket mount restarts grace
   reservation worker" \
  "spot no-build follow" "$@"
if [[ -n ${option[help]-} ]]; then
  usage
  exit 0
fi
need_name
need_project_and_zone
need cluster my-cluster
name=${option[name]}
cluster=${option[cluster]}
option[slices]=${option[slices]-1}
need_count slices 1
need_mount
where=(--cluster="$cluster" --project="${option[project]}" --zone="${option[zone]}")
# XPK's clusters are regional.
context=gke_${option[project]}_${option[zone]%-*}_$cluster

need_type() {
  need type v5litepod-16
  [[ ${option[type]} =~ ^[a-z0-9]+-[0-9]+$ ]] ||
    die "--type must look like v5litepod-16; got ${option[type]}"
}

workload() { # NAME COMMAND...
  local workload=$1
  shift
  need_type
  need image us-docker.pkg.dev/my-project/my-repository/labelgraph:1
  option[restarts]=${option[restarts]-10}
  option[grace]=${option[grace]-300}
  need_count restarts 10 0
  need_count grace 300
  perform xpk workload create "${where[@]}" --workload="$workload" \
    --tpu-type="${option[type]}" --num-slices="${option[slices]}" \
    --docker-image="${option[image]}" --max-restarts="${option[restarts]}" \
    --termination-grace-period-seconds="${option[grace]}" \
    --command="cd /opt/labelgraph && exec sh tpu_scripts/gke/pod.sh $(quote "$@")"
}

remove() { perform xpk workload delete "${where[@]}" --workload="$1" --force; }

create() {
  need_type
  local capacity=--on-demand
  if [[ -n ${option[spot]-} ]]; then capacity=--spot; fi
  if [[ -n ${option[reservation]-} ]]; then
    capacity=--reservation=${option[reservation]}
  fi
  new_bucket
  perform xpk cluster create "${where[@]}" --tpu-type="${option[type]}" \
    --num-slices="${option[slices]}" "$capacity" --enable-workload-identity \
    --enable-gcsfuse-csi-driver
  note "from now on cluster and nodes cost, until xpk.sh delete"
}

setup() {
  need_bucket
  need_type
  need image us-docker.pkg.dev/my-project/my-repository/labelgraph:1
  if [[ -z ${option[no-build]-} ]]; then
    perform docker build --file="$here/gke/Dockerfile" --build-arg=JAX_EXTRA=tpu \
      --tag="${option[image]}" "$repository"
    perform docker push "${option[image]}"
  fi
  perform xpk storage attach "$name-work" "${where[@]}" --type=gcsfuse \
    --bucket="${option[bucket]}" --mount-point="${option[mount]}" --readonly=false \
    --auto-mount=true --size=1000 \
    --mount-options=implicit-dirs,rename-dir-limit=200000
  option[restarts]=0
  workload "$name-doctor" labelgraph doctor
  perform xpk workload list "${where[@]}" --wait-for-job-completion="$name-doctor" \
    --timeout=900
  remove "$name-doctor"
}

case $chosen_verb in
  create) create ;;
  setup) setup ;;
  run)
    need_worker_command "${option[mount]}/$name"
    workload "$name" "${worker_command[@]}"
    ;;
  resume)
    need_worker_command "${option[mount]}/$name"
    remove "$name"
    workload "$name" "${worker_command[@]}"
    ;;
  logs)
    selector=xpk.google.com/workload=$name
    worker=${option[worker]-0}
    [[ $worker =~ ^([0-9]+|all)$ ]] ||
      die "--worker must be a number or all; got $worker"
    if [[ $worker != all ]]; then
      selector+=,batch.kubernetes.io/job-completion-index=$worker
    fi
    perform kubectl --context="$context" logs --selector="$selector" --prefix \
      --max-log-requests=1000 --tail=-1 --all-containers \
      ${option[follow]:+--follow}
    ;;
  status) perform xpk workload list "${where[@]}" ;;
  stop) remove "$name" ;;
  delete)
    perform xpk cluster delete "${where[@]}" --force
    note "buckets and images stay, and cost; README.md says how to find them"
    ;;
esac
