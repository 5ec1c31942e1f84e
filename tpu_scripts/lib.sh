# shellcheck shell=bash
# What the scripts of this folder share: options, messages, quoting, dry runs.
# Sourced by them, never run.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=${here%/*}
declare -A option=()
worker_command=()
lines_together=()

# A person's mistake: one line that says what must hold and what was got.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}

((BASH_VERSINFO[0] >= 4)) || die "bash must be version 4 or later; got $BASH_VERSION"

# What a script does besides its commands goes to stderr: stdout holds commands only.
note() { printf '# %s\n' "$*" >&2; }

# The arguments as one line that bash reads back as the same arguments.
quote() {
  local argument words=()
  for argument in "$@"; do
    # %q alone would do, but it writes 'a b' as a\ b, which nobody likes to read.
    if [[ $argument =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]]; then
      words+=("$argument")
    elif [[ $argument == *[[:cntrl:]]* || $argument == *\'* ]]; then
      words+=("$(printf '%q' "$argument")")
    else
      words+=("'$argument'")
    fi
  done
  printf '%s' "${words[*]}"
}

# Runs a line of bash, or with --dry-run prints it.
perform_line() {
  if [[ -n ${option[dry-run]-} ]]; then
    printf '%s\n' "$1"
  else
    printf '+ %s\n' "$1" >&2
    bash -o pipefail -c "$1"
  fi
}

perform() { perform_line "$(quote "$@")"; }

# Commands that must run at the same time: collect each, then perform them all.
# It fails when one of them does, after all have ended.
collect() { lines_together+=("$(quote "$@")"); }

perform_together() {
  local line child children=() failed=0
  for line in "${lines_together[@]}"; do
    if [[ -n ${option[dry-run]-} ]]; then
      printf '%s &\n' "$line"
    else
      printf '+ %s &\n' "$line" >&2
      bash -c "$line" &
      children+=("$!")
    fi
  done
  lines_together=()
  if [[ -n ${option[dry-run]-} ]]; then
    printf 'wait\n'
    return
  fi
  for child in "${children[@]}"; do
    wait "$child" || failed=$?
  done
  return "$failed"
}

# parse_options "with value ..." "flags ..." arguments: fills `option`, and
# `worker_command` with what follows `--`.
parse_options() {
  local valued=" ${1//$'\n'/ } " flags=" $2 dry-run help " name
  shift 2
  while (($#)); do
    case $1 in
      --)
        shift
        worker_command=("$@")
        ((${#worker_command[@]})) || die "a command must follow --; got nothing"
        return
        ;;
      -h)
        option[help]=yes
        shift
        ;;
      --*=*)
        name=${1%%=*}
        name=${name#--}
        [[ $valued == *" $name "* ]] ||
          die "--$name must be an option with a value (see --help); got $1"
        option[$name]=${1#*=}
        shift
        ;;
      --*)
        name=${1#--}
        if [[ $flags == *" $name "* ]]; then
          option[$name]=yes
          shift
        elif [[ $valued == *" $name "* ]]; then
          [[ $# -gt 1 && $2 != --* ]] ||
            die "--$name must be followed by a value; got ${2-nothing}"
          option[$name]=$2
          shift 2
        else
          die "options must be known (see --help); got $1"
        fi
        ;;
      *) die "arguments must be options, or follow -- as the command; got $1" ;;
    esac
    [[ -z ${name-} || -n ${option[$name]-} ]] ||
      die "--$name must have a value; got an empty one"
  done
}

# verb_of "create setup ..." "$@": the first argument, which must be one of them.
verb_of() {
  local verbs=$1 verb=${2-}
  case $verb in
    -h | --help)
      usage
      exit 0
      ;;
  esac
  [[ -n $verb && " $verbs " == *" $verb "* ]] ||
    die "the first argument must be one of: $verbs; got ${verb:-nothing}"
  # shellcheck disable=SC2034 # the scripts read it
  chosen_verb=$verb
}

# need NAME EXAMPLE: the option must have been given.
need() {
  [[ -n ${option[$1]-} ]] || die "--$1 must be given, e.g. --$1 $2; got nothing"
}

need_name() {
  need name magnet-1
  [[ ${option[name]} =~ ^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$ ]] ||
    die "--name must be lower-case letters, digits and hyphens, begin with a letter," \
      "not end with a hyphen, at most 40; got ${option[name]}"
}

need_count() { # NAME EXAMPLE [LEAST]
  need "$1" "$2"
  [[ ${option[$1]} =~ ^(0|[1-9][0-9]{0,4})$ && ${option[$1]} -ge ${3-1} ]] ||
    die "--$1 must be a whole number from ${3-1} to 99999; got ${option[$1]}"
}

# The project and the zone are never guessed: a flag, or gcloud's own variables. A dry
# run, which touches neither, shows an example's where they are not named.
need_project_and_zone() {
  local name
  option[project]=${option[project]-${CLOUDSDK_CORE_PROJECT-}}
  option[zone]=${option[zone]-${CLOUDSDK_COMPUTE_ZONE-}}
  if [[ -n ${option[dry-run]-} ]]; then
    for name in project zone; do
      [[ -n ${option[$name]} ]] || note "--$name names none: an example's is shown"
    done
    option[project]=${option[project]:-my-project}
    option[zone]=${option[zone]:-us-west4-a}
  fi
  [[ -n ${option[project]} ]] ||
    die "--project (or CLOUDSDK_CORE_PROJECT) must name a project; got nothing"
  [[ -n ${option[zone]} ]] ||
    die "--zone (or CLOUDSDK_COMPUTE_ZONE) must name a zone; got nothing"
  [[ ${option[project]} =~ ^[a-z][-a-z0-9.:]*[a-z0-9]$ ]] ||
    die "--project must be a project's id, e.g. my-project; got ${option[project]}"
  [[ ${option[zone]} =~ ^[a-z]+-[a-z]+[0-9]+-[a-z0-9]+$ ]] ||
    die "--zone must look like us-central1-a; got ${option[zone]}"
  note "project ${option[project]}, zone ${option[zone]}"
}

need_bucket() {
  need bucket my-bucket
  [[ ${option[bucket]} =~ ^[a-z0-9][-a-z0-9_.]+[a-z0-9]$ ]] ||
    die "--bucket must be a bucket's name without gs://; got ${option[bucket]}"
}

need_path() {
  need "$1" "$2"
  [[ ${option[$1]} =~ ^/[A-Za-z0-9_./@+-]+$ ]] ||
    die "--$1 must be an absolute path of letters, digits and _ . / @ + -;" \
      "got ${option[$1]}"
}

# Where the work directories lie: on storage that all workers see.
need_mount() {
  option[mount]=${option[mount]-/mnt/work}
  need_path mount /mnt/work
}

need_storage() {
  need_mount
  [[ -z ${option[bucket]-} || -z ${option[nfs]-} ]] ||
    die "--bucket or --nfs must be given, not both; got both"
  if [[ -n ${option[nfs]-} ]]; then
    [[ ${option[nfs]} =~ ^[A-Za-z0-9.-]+:/[A-Za-z0-9_./-]*$ ]] ||
      die "--nfs must be HOST:/EXPORT, e.g. 10.0.0.2:/share; got ${option[nfs]}"
  else
    [[ -n ${option[bucket]-} ]] ||
      die "--bucket NAME or --nfs HOST:/EXPORT must be given: storage that all" \
        "workers see; got neither"
    need_bucket
  fi
}

# The command that runs on every worker. A pod's work directory must be named, and lie
# where all workers see it; this catches the mistakes that a script can see.
need_worker_command() {
  local argument place named='' before=''
  ((${#worker_command[@]})) || worker_command=(labelgraph train --workdir "$1")
  for argument in "${worker_command[@]}"; do
    case $argument in
      --workdir=gs://* | gs://*)
        die "the work directory must be a path on mounted storage, e.g. $1;" \
          "got $argument"
        ;;
      --workdir | --workdir=*) named=yes ;;
    esac
    place=
    [[ $before == --workdir ]] && place=$argument
    [[ $argument == --workdir=* ]] && place=${argument#--workdir=}
    # "~" and "$HOME" are the worker's own; anything else must start at the root.
    [[ -z $place || $place == [/~$]* ]] ||
      die "the work directory must be an absolute path on storage that all workers" \
        "share, e.g. $1; got $place"
    before=$argument
  done
  [[ "${worker_command[*]:0:2}" != "labelgraph train" || -n $named ]] ||
    die "labelgraph train must be given --workdir on shared storage, e.g." \
      "--workdir $1; got none"
  note "every process runs: $(quote "${worker_command[@]}")"
}

# The source as one file, to be copied to the workers.
pack_source() {
  archive=${TMPDIR:-/tmp}/labelgraph-${option[name]}.tar.gz
  perform tar --create --gzip --file="$archive" --exclude=__pycache__ \
    --directory="$repository" \
    pyproject.toml README.md constraints.txt labelgraph_jax experiments tpu_scripts
}

# What a worker does with that file; the words of the storage are safe in a shell.
unpack_line() {
  local storage
  if [[ -n ${option[nfs]-} ]]; then
    storage="--nfs ${option[nfs]}"
  else
    storage="--bucket ${option[bucket]}"
  fi
  printf '%s' "mkdir -p labelgraph && tar -xzf labelgraph.tar.gz -C labelgraph" \
    " && bash labelgraph/tpu_scripts/worker.sh setup --jax $1" \
    " --mount ${option[mount]} $storage"
}

new_bucket() {
  [[ -n ${option[new-bucket]-} ]] || return 0
  option[bucket]=${option[new-bucket]}
  need_bucket
  perform gcloud storage buckets create "gs://${option[bucket]}" \
    --project="${option[project]}" --location="${option[zone]%-*}" \
    --uniform-bucket-level-access --enable-hierarchical-namespace
}
