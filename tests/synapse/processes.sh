# What cluster.sh and legacy.sh know of the processes that they start. Sourced, with these set:
#
#   SELF  the script
#   KIND  a word before all that is said
#   RUN   the folder of the pid files
#   LOG   the folder of the logs
#   OWNER a process id, or empty: when it ends, for whatever reason, all is stopped

say() { printf '%s %s: %s\n' "$(date +%H:%M:%S)" "$KIND" "$*" >&2; }
die() { say "$*"; exit 1; }

# Process ids come back, so each is kept with the time its process was started.
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }
remember() { echo "$2 $(born "$2")" >"$RUN/$1.pid"; }
pid_of() { cut -d ' ' -f 1 "$RUN/$1.pid"; }
alive() {
  local pid since
  read -r pid since 2>/dev/null <"$RUN/$1.pid" || return 1
  [ -n "$since" ] && [ "$(born "$pid")" = "$since" ] && [ "$(sed 's/.*) //' "/proc/$pid/stat" | cut -c 1)" != Z ]
}

need() { # command...
  local tool
  for tool in "$@"; do command -v "$tool" >/dev/null || die "no $tool here; run .ci/install"; done
}

wait_for() { # name command...: until it succeeds, the process ends, or 60 s
  local name=$1 i
  shift
  for i in $(seq 1 600); do
    "$@" >/dev/null 2>&1 && return 0
    alive "$name" || break
    sleep 0.1
  done
  say "$name is not up; its last words:"
  tail -n 8 "$LOG/$name.out" "$LOG/$name.log" >&2 2>/dev/null || true
  return 1
}

# In a session of its own, so that a Ctrl-C that ends the owner does not end this first.
watch_owner() { # argument of SELF...: what is run then
  [ -n "$OWNER" ] || return 0
  end_process watch
  setsid bash -c 'tail --pid="$1" -f /dev/null; rm -f "$2"; shift 2; exec "$@"' \
    _ "$OWNER" "$RUN/watch.pid" "$SELF" "$@" >>"$LOG/watch.out" 2>&1 </dev/null &
  remember watch $!
}

end_process() { # name [signal]
  if alive "$1"; then
    local pid i
    pid=$(pid_of "$1")
    # The watcher waits for a child of its own, which must end with it.
    if [ "$1" = watch ]; then kill -TERM -- "-$pid"; else kill "-${2:-TERM}" "$pid"; fi
    for i in $(seq 1 100); do alive "$1" || break; sleep 0.1; done
    ! alive "$1" || { say "$1 does not stop: killed"; kill -KILL "$pid"; }
    [ "$1" = watch ] || say "$1 is stopped"
  fi
  rm -f "$RUN/$1.pid"
}

kill_process() { # name
  alive "$1" || die "$1 does not run"
  kill -KILL "$(pid_of "$1")"
  rm -f "$RUN/$1.pid"
  say "$1 is killed"
}
