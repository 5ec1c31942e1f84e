#!/usr/bin/env bash
# Slurm with GPUs: one process per GPU, or one per node.
set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'USAGE'
usage: slurm.sh VERB --name NAME --home DIR [options] [-- COMMAND...]

create   nothing: shows the nodes   --partition P
setup    code, doctor               --partition P --nodes N --gpus-per-node G
                                    [--cuda cuda13] [--account A]
run      submit the job             the same, and --time 12:00:00
resume   the same; it waits until a live job of that NAME has ended
logs     the log's end; --follow
status   queued, running, finished
stop     save a checkpoint and end the run
delete   cancel all jobs of that NAME; the work directory stays

--home DIR   a folder that all nodes see; code, environment, logs and by default the
             work directories go there
COMMAND      default: labelgraph train --workdir HOME/work/NAME
--per-node   one process per node, with all its GPUs (default: one process per GPU)
--cpus-per-task N   CPU cores of a process
--dry-run    print the commands, run nothing
USAGE
}

verbs="create setup run resume logs status stop delete"
verb_of "$verbs" "$@"
shift
parse_options \
  "name home partition account nodes gpus-per-node time cuda cpus-per-task" \
  "per-node follow" "$@"
if [[ -n ${option[help]-} ]]; then
  usage
  exit 0
fi
need_name
need_path home /shared/me/labelgraph
name=${option[name]}
home=${option[home]}
log=$home/logs/$name.log
worker=$home/tpu_scripts/worker.sh

# The resources of a job, as sbatch and srun take them; the environment it needs.
need_resources() {
  local tasks devices
  need partition gpu
  need_count nodes 2
  need_count gpus-per-node 8
  resources=(--partition="${option[partition]}" --nodes="${option[nodes]}"
    --gpus-per-node="${option[gpus-per-node]}")
  environment=(LABELGRAPH_HOME="$home")
  tasks=${option[gpus-per-node]}
  if [[ -n ${option[per-node]-} ]]; then
    tasks=1
    # Under Slurm JAX gives a process the one GPU of its local number, unless told.
    devices=$(seq -s, 0 $((option[gpus-per-node] - 1)))
    environment+=(JAX_LOCAL_DEVICE_IDS="$devices")
  fi
  resources+=(--ntasks-per-node="$tasks")
  if [[ -n ${option[cpus-per-task]-} ]]; then
    need_count cpus-per-task 8
    resources+=(--cpus-per-task="${option[cpus-per-task]}")
  fi
  if [[ -n ${option[account]-} ]]; then
    resources+=(--account="${option[account]}")
  fi
}

setup() {
  need_resources
  option[cuda]=${option[cuda]-cuda13}
  [[ ${option[cuda]} =~ ^cuda1[23]$ ]] ||
    die "--cuda must be cuda13 or cuda12, as the driver allows; got ${option[cuda]}"
  perform mkdir -p "$home/logs" "$home/work"
  perform env LABELGRAPH_HOME="$home" bash "$here/worker.sh" setup \
    --jax "${option[cuda]}" --source "$repository"
  perform env "${environment[@]}" srun --job-name="$name-doctor" "${resources[@]}" \
    --time=00:15:00 --kill-on-bad-exit=1 bash "$worker" exec -- labelgraph doctor
}

submit() {
  need_resources
  need time 12:00:00
  [[ ${option[time]} =~ ^([0-9]+-)?[0-9]+(:[0-9]+){0,2}$ ]] ||
    die "--time must be Slurm's, e.g. 12:00:00 or 2-00:00:00; got ${option[time]}"
  need_worker_command "$home/work/$name"
  # singleton: a second job of that name waits, for one work directory has one run.
  perform env "${environment[@]}" sbatch --parsable --job-name="$name" \
    --dependency=singleton "${resources[@]}" --time="${option[time]}" \
    --output="$log" "$home/tpu_scripts/slurm/job.sbatch" "${worker_command[@]}"
}

user=${USER:-$(id -un)}
case $chosen_verb in
  create)
    need partition gpu
    perform sinfo --partition="${option[partition]}" --format='%P %D %G %l %a'
    ;;
  setup) setup ;;
  run | resume) submit ;;
  logs)
    if [[ -n ${option[follow]-} ]]; then
      perform tail -n 100 -F "$log"
    else
      perform tail -n 100 "$log"
    fi
    ;;
  status) perform squeue --name="$name" --user="$user" ;;
  stop)
    perform scancel --name="$name" --user="$user" --state=PENDING
    perform scancel --name="$name" --user="$user" --state=RUNNING --signal=TERM
    ;;
  delete) perform scancel --name="$name" --user="$user" ;;
esac
