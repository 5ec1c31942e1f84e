#!/usr/bin/env bash
# Compute Engine GPU machines: NAME-0 ... NAME-(count - 1), one process per machine.
set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'USAGE'
usage: gpu_group.sh VERB --name NAME --project P --zone Z --count N [options]
                         [-- COMMAND...]

create   the machines            --machine-type g2-standard-24 [--accelerator T:N]
                                 --image-family F --image-project P
                                 [--disk-size 200GB] [--spot] [--new-bucket B]
setup    code, storage, doctor   --bucket B | --nfs HOST:/EXPORT [--mount /mnt/work]
                                 [--cuda cuda13]
run      start COMMAND on all machines; it goes on when you log out
resume   the same: the same --workdir goes on from its last checkpoint
logs     the log of --worker 0 (default) or N; --follow
status   of the run on every machine
stop     save a checkpoint and end the run; the machines stay, and cost
delete   the machines and their disks

COMMAND     default: labelgraph train --workdir MOUNT/NAME
--port      the first machine's port where processes meet, default 8476
--dry-run   print the commands, run nothing ("&" and "wait": they run together)
USAGE
}

verbs="create setup run resume logs status stop delete"
verb_of "$verbs" "$@"
shift
parse_options \
  "name project zone count machine-type accelerator image-family image-project
   disk-size new-bucket bucket nfs mount cuda worker port" \
  "spot follow" "$@"
if [[ -n ${option[help]-} ]]; then
  usage
  exit 0
fi
need_name
need_project_and_zone
need_count count 4
name=${option[name]}
count=${option[count]}
where=(--project="${option[project]}" --zone="${option[zone]}")
worker="bash labelgraph/tpu_scripts/worker.sh"
option[port]=${option[port]-8476}
need_count port 8476
machines=()
for ((i = 0; i < count; i++)); do machines+=("$name-$i"); done

on_worker() { # NUMBER COMMAND
  collect gcloud compute ssh "${machines[$1]}" "${where[@]}" --command="$2"
}

on_all() { # COMMAND
  for ((i = 0; i < count; i++)); do on_worker "$i" "$1"; done
  perform_together
}

# Nothing tells the processes of plain machines who they are: the environment does.
in_processes() { # worker.sh's VERB, COMMAND...
  local verb=$1
  shift
  for ((i = 0; i < count; i++)); do
    on_worker "$i" "env LABELGRAPH_COORDINATOR=$name-0:${option[port]}$(
    ) LABELGRAPH_PROCESSES=$count LABELGRAPH_PROCESS_ID=$i$(
    ) $worker $verb -- $(quote "$@")"
  done
  perform_together
}

create() {
  need machine-type g2-standard-24
  need image-family "FAMILY (gcloud compute images list lists them)"
  need image-project deeplearning-platform-release
  local extra=() accelerator=${option[accelerator]-}
  if [[ -n $accelerator ]]; then
    [[ $accelerator =~ ^[a-z0-9-]+:[0-9]+$ ]] ||
      die "--accelerator must be TYPE:COUNT, e.g. nvidia-tesla-t4:2; got $accelerator"
    extra+=(--accelerator="type=${accelerator%:*},count=${accelerator#*:}")
  fi
  # A preempted machine is deleted: stopped, its disk would go on costing.
  if [[ -n ${option[spot]-} ]]; then
    extra+=(--provisioning-model=SPOT --instance-termination-action=DELETE)
  fi
  option[disk-size]=${option[disk-size]-200GB}
  note "boot disks of ${option[disk-size]}"
  new_bucket
  perform gcloud compute instances bulk create "${where[@]}" \
    --predefined-names="$(
      IFS=,
      printf '%s' "${machines[*]}"
    )" \
    --machine-type="${option[machine-type]}" --on-host-maintenance=TERMINATE \
    --image-family="${option[image-family]}" \
    --image-project="${option[image-project]}" \
    --boot-disk-size="${option[disk-size]}" --scopes=cloud-platform \
    ${extra[@]+"${extra[@]}"}
  note "from now on they cost, until: $0 delete --name $name --count $count ${where[*]}"
}

setup() {
  option[cuda]=${option[cuda]-cuda13}
  [[ ${option[cuda]} =~ ^cuda1[23]$ ]] ||
    die "--cuda must be cuda13 or cuda12, as the driver allows; got ${option[cuda]}"
  need_storage
  pack_source
  for ((i = 0; i < count; i++)); do
    collect gcloud compute scp "$archive" "${machines[$i]}:labelgraph.tar.gz" \
      "${where[@]}"
  done
  perform_together
  on_all "$(unpack_line "${option[cuda]}")"
  in_processes exec labelgraph doctor
}

case $chosen_verb in
  create) create ;;
  setup) setup ;;
  run | resume)
    need_mount
    need_worker_command "${option[mount]}/$name"
    in_processes start "${worker_command[@]}"
    ;;
  logs)
    option[worker]=${option[worker]-0}
    [[ ${option[worker]} =~ ^[0-9]+$ && ${option[worker]} -lt $count ]] ||
      die "--worker must be a number below --count $count; got ${option[worker]}"
    perform gcloud compute ssh "${machines[${option[worker]}]}" "${where[@]}" \
      --command="$worker logs${option[follow]:+ follow}"
    ;;
  status) on_all "$worker status" ;;
  stop) on_all "$worker stop" ;;
  delete)
    perform gcloud compute instances delete "${machines[@]}" "${where[@]}" \
      --delete-disks=all --quiet
    note "buckets and Filestore stay, and cost; README.md says how to find them"
    ;;
esac
