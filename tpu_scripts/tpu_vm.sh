#!/usr/bin/env bash
# Cloud TPU VMs: one process per host of the slice, started on all hosts at once.
set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'USAGE'
usage: tpu_vm.sh VERB --name NAME --project P --zone Z [options] [-- COMMAND...]

create   the TPU VM              --type v5litepod-16 [--runtime-version V] [--new-bucket B]
                                 [--spot] [--reserved] [--queued]
setup    code, storage, doctor   --bucket B | --nfs HOST:/EXPORT [--mount /mnt/work]
run      start COMMAND on all hosts; it goes on when you log out
resume   the same: the same --workdir goes on from its last checkpoint
logs     the log of --worker 0 (default), N or all; --follow
status   of the TPU VM and of the run on every host
stop     save a checkpoint and end the run; the TPU VM stays, and costs
delete   the TPU VM              [--queued]

COMMAND     default: labelgraph train --workdir MOUNT/NAME
--queued    ask for a queued resource instead of a TPU VM at once; give it to status
            and delete, too
--dry-run   print the commands, run nothing
USAGE
}

verbs="create setup run resume logs status stop delete"
verb_of "$verbs" "$@"
shift
parse_options \
  "name project zone type runtime-version new-bucket bucket nfs mount worker" \
  "spot reserved queued follow" "$@"
if [[ -n ${option[help]-} ]]; then
  usage
  exit 0
fi
need_name
need_project_and_zone
name=${option[name]}
where=(--project="${option[project]}" --zone="${option[zone]}")
worker="bash labelgraph/tpu_scripts/worker.sh"

on_workers() { # WORKERS COMMAND
  perform gcloud compute tpus tpu-vm ssh "$name" "${where[@]}" \
    --worker="$1" --command="$2"
}

# The software that comes with a TPU VM, by the chip.
runtime_version() {
  case ${option[type]} in
    v5litepod-*) printf v2-alpha-tpuv5-lite ;;
    v5p-*) printf v2-alpha-tpuv5 ;;
    v6e-*) printf v2-alpha-tpuv6e ;;
    v[234]-*) printf tpu-ubuntu2204-base ;;
    *) die "--runtime-version must be given for --type ${option[type]}; got nothing" ;;
  esac
}

create() {
  need type v5litepod-16
  [[ ${option[type]} =~ ^v[0-9a-z]+-[0-9]+$ ]] ||
    die "--type must look like v5litepod-16; got ${option[type]}"
  local version extra=()
  version=${option[runtime-version]-$(runtime_version)}
  note "runtime version $version"
  if [[ -n ${option[spot]-} ]]; then extra+=(--spot); fi
  if [[ -n ${option[reserved]-} ]]; then extra+=(--reserved); fi
  new_bucket
  if [[ -n ${option[queued]-} ]]; then
    perform gcloud compute tpus queued-resources create "$name" "${where[@]}" \
      --node-id="$name" --accelerator-type="${option[type]}" \
      --runtime-version="$version" ${extra[@]+"${extra[@]}"}
    note "it is granted when status says ACTIVE; only then setup"
  else
    perform gcloud compute tpus tpu-vm create "$name" "${where[@]}" \
      --accelerator-type="${option[type]}" --version="$version" \
      ${extra[@]+"${extra[@]}"}
  fi
  note "from now on it costs, until: $0 delete --name $name ${where[*]}"
}

setup() {
  need_storage
  pack_source
  perform gcloud compute tpus tpu-vm scp "$archive" "$name:labelgraph.tar.gz" \
    "${where[@]}" --worker=all
  on_workers all "$(unpack_line tpu)"
  on_workers all "$worker exec -- labelgraph doctor"
}

case $chosen_verb in
  create) create ;;
  setup) setup ;;
  run | resume)
    need_mount
    need_worker_command "${option[mount]}/$name"
    on_workers all "$worker start -- $(quote "${worker_command[@]}")"
    ;;
  logs)
    option[worker]=${option[worker]-0}
    [[ ${option[worker]} =~ ^([0-9]+|all)$ ]] ||
      die "--worker must be a number or all; got ${option[worker]}"
    on_workers "${option[worker]}" "$worker logs${option[follow]:+ follow}"
    ;;
  status)
    if [[ -n ${option[queued]-} ]]; then
      perform gcloud compute tpus queued-resources describe "$name" "${where[@]}" \
        --format='value(state.state)'
    fi
    perform gcloud compute tpus tpu-vm describe "$name" "${where[@]}" \
      --format='value(state,health)'
    on_workers all "$worker status"
    ;;
  stop) on_workers all "$worker stop" ;;
  delete)
    if [[ -n ${option[queued]-} ]]; then
      perform gcloud compute tpus queued-resources delete "$name" "${where[@]}" \
        --force --quiet
    else
      perform gcloud compute tpus tpu-vm delete "$name" "${where[@]}" --quiet
    fi
    note "buckets and disks stay, and cost; README.md says how to find them"
    ;;
esac
