#!/usr/bin/env bash
# The front door: says where, and hands everything else on.
set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'USAGE'
usage: run.sh --on PLACE [VERB] [options] [-- COMMAND...]

--on tpu-vm       Cloud TPU VMs                       tpu_vm.sh
--on gke          GKE, TPU or GPU, as a JobSet        gke.sh
--on xpk          GKE TPU through XPK                 xpk.sh
--on gpu-group    Compute Engine GPU machines         gpu_group.sh
--on slurm        a Slurm cluster with GPUs           slurm.sh

VERB: create, setup, run (when none is named), logs, status, resume, stop, delete.
COMMAND runs in every process, e.g. -- labelgraph train --workdir /mnt/work/run1
--dry-run prints the commands and runs nothing. For the options:

    bash tpu_scripts/run.sh --on PLACE --help
USAGE
}

case ${1-} in
  -h | --help)
    usage
    exit 0
    ;;
  --on=*) place=${1#--on=} ;;
  --on)
    place=${2-nothing}
    shift
    ;;
  *) die "the first argument must be --on PLACE (see --help); got ${1-nothing}" ;;
esac
shift || true
case $place in
  tpu-vm | gke | xpk | gpu-group | slurm) ;;
  *) die "--on must be tpu-vm, gke, xpk, gpu-group or slurm; got $place" ;;
esac
case ${1-} in
  --help | -h | [!-]*) ;;
  *) set -- run "$@" ;;
esac
exec bash "$here/${place//-/_}.sh" "$@"
