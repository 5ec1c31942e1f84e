#!/bin/sh
# Runs the arguments as the pod's command and hands SIGTERM on to them. The command
# saves a checkpoint then and exits with 0, which Kubernetes would take for "finished":
# a pod that was told to stop ends with 143 instead, and the JobSet starts it again.
told=
"$@" &
child=$!
trap 'told=yes; kill -TERM "$child" 2>/dev/null' TERM
while :; do
  wait "$child"
  status=$?
  kill -0 "$child" 2>/dev/null || break
done
if [ -n "$told" ] && [ "$status" -eq 0 ]; then
  exit 143
fi
exit "$status"
