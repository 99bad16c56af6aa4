#!/usr/bin/env bash
# A real multi-process Synapse on loopback, to try a follower on.
#
#   cluster.sh install            Synapse into its virtual environment (apt packages: see .ci/install)
#   cluster.sh start [NAME]       all, or one; what already runs is left alone
#   cluster.sh stop [NAME]        orderly: SIGTERM, SIGINT for postgres
#   cluster.sh kill NAME          SIGKILL
#   cluster.sh freeze|thaw NAME   SIGSTOP, SIGCONT
#   cluster.sh restart NAME
#   cluster.sh reset              stop all and throw the databases and logs away
#   cluster.sh status | env | logs [LINES]
#
# NAME: pg redis main p1 p2 streams1 fed1 client1 peer
#
#   redis     16379
#   main      main process; client API 18008, federation (TLS) 18448, HTTP replication 19000
#   p1, p2    event persisters; client API 18011, 18012, HTTP replication 19001, 19002
#   streams1  writer of typing, receipts, to_device, account_data, presence, push_rules,
#             device_lists, thread_subscriptions; client API 18013, HTTP replication 19003
#   fed1      federation sender; HTTP replication 19004
#   client1   /sync and background tasks; client API 18015, HTTP replication 19005
#   peer      another homeserver (one process, sqlite), so that there is backfill and federation;
#             client API 28008, federation (TLS) 28448
#
# Environment:
#   SYNREPL_CLUSTER_DIR    databases, configuration, logs, pids (default: synrepl-cluster in the
#                          system's temp folder); other users must be able to pass through it,
#                          because postgres does not run as root
#   SYNREPL_CLUSTER_PEER   0 leaves the peer out
#   SYNREPL_CLUSTER_TYPING HOST:PORT of the HTTP replication listener of an instance called synrepl,
#                          which the script does not start: that one writes `typing`
#   SYNREPL_CLUSTER_OWNER  a process id: when it ends, for whatever reason, all is stopped
#   SYNREPL_SYNAPSE_VENV   where Synapse is installed, kept between runs (default: in ~/.cache)
set -euo pipefail

SYNAPSE_VERSION=1.163.2
SERVER_NAME=localhost:18448
PEER_NAME=localhost:28448
SECRET=lab-replication-secret
REGISTRATION_SECRET=lab-registration-secret
PGPORT=15432
REDISPORT=16379

DIR=${SYNREPL_CLUSTER_DIR:-${TMPDIR:-/tmp}/synrepl-cluster}
PEER=${SYNREPL_CLUSTER_PEER:-1}
TYPING=${SYNREPL_CLUSTER_TYPING:-}
VENV=${SYNREPL_SYNAPSE_VENV:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/synrepl/synapse-$SYNAPSE_VERSION}
RUN=$DIR/run
LOG=$DIR/log
SELF=$(realpath "$0")
KIND=cluster
OWNER=${SYNREPL_CLUSTER_OWNER:-}

NAMES="pg redis main p1 p2 streams1 fed1 client1"
[ "$PEER" = 0 ] || NAMES="$NAMES peer"

. "$(dirname "$SELF")/processes.sh"

pgbin() {
  local found
  found=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
  [ -x "$found/initdb" ] || die "no PostgreSQL server under /usr/lib/postgresql; run .ci/install"
  echo "$found"
}
# postgres refuses to run as root.
as_postgres() {
  if [ "$(id -u)" = 0 ]; then exec setpriv --reuid postgres --regid postgres --init-groups "$@"; else exec "$@"; fi
}

install() {
  need python3
  "$VENV/bin/python" -c "import importlib.metadata as m, sys, psycopg2, txredisapi
sys.exit(m.version('matrix-synapse') != '$SYNAPSE_VERSION')" 2>/dev/null && return 0
  say "installing matrix-synapse $SYNAPSE_VERSION into $VENV"
  # Where it will stay from the start (its scripts know the path); a broken one is made again.
  rm -rf "$VENV"
  mkdir -p "$(dirname "$VENV")"
  python3 -m venv "$VENV"
  "$VENV/bin/pip" install -q --disable-pip-version-check "matrix-synapse[redis]==$SYNAPSE_VERSION" psycopg2-binary
}

log_config() { # name
  cat >"$DIR/log-$1.yaml" <<Y
version: 1
formatters: {precise: {format: '%(asctime)s - %(name)s - %(lineno)d - %(levelname)s - %(request)s - %(message)s'}}
handlers: {file: {class: logging.FileHandler, filename: $LOG/$1.log, formatter: precise}}
loggers: {synapse.storage.SQL: {level: WARNING}}
root: {level: INFO, handlers: [file]}
disable_existing_loggers: false
Y
}

homeserver_config() { # what both homeservers share: no limits, loopback federation, all experiments
  local unlimited='{per_second: 10000, burst_count: 10000}'
  cat <<Y
report_stats: false
suppress_key_server_warning: true
trusted_key_servers: []
enable_registration: true
enable_registration_without_verification: true
registration_shared_secret: $REGISTRATION_SECRET
bcrypt_rounds: 4
federation_verify_certificates: false
ip_range_blacklist: []
ip_range_whitelist: ["127.0.0.0/8", "::1/128"]
tls_certificate_path: $DIR/tls.crt
tls_private_key_path: $DIR/tls.key
allow_public_rooms_over_federation: true
url_preview_enabled: false
include_profile_updates_in_sync: true
presence: {enabled: true}
push: {enabled: true}
# Two equal questions of a client are two questions.
caches: {global_factor: 0.5, sync_response_cache_duration: 0s}
federation: {client_timeout: 5s, max_short_retries: 0, max_long_retries: 0, destination_min_retry_interval: 3s, destination_max_retry_interval: 6s}
experimental_features: {msc4306_enabled: true, msc4354_enabled: true, msc3391_enabled: true, msc3881_enabled: true}
rc_message: $unlimited
rc_registration: $unlimited
rc_login: {address: $unlimited, account: $unlimited, failed_attempts: $unlimited}
rc_joins: {local: $unlimited, remote: $unlimited}
rc_joins_per_room: $unlimited
rc_invites: {per_room: $unlimited, per_user: $unlimited, per_issuer: $unlimited}
rc_admin_redaction: $unlimited
rc_presence: {per_user: $unlimited}
rc_federation: {window_size: 1000, sleep_limit: 10000, sleep_delay: 1, reject_limit: 10000, concurrent: 20}
rc_3pid_validation: $unlimited
rc_room_creation: $unlimited
rc_delayed_event_mgmt: $unlimited
Y
}

worker_config() { # name replication_port [client_port]
  cat <<Y
worker_app: synapse.app.generic_worker
worker_name: $1
worker_log_config: $DIR/log-$1.yaml
worker_listeners:
  - {port: $2, type: http, bind_addresses: [127.0.0.1], resources: [{names: [replication]}]}
Y
  [ -z "${3:-}" ] || echo "  - {port: $3, type: http, bind_addresses: [127.0.0.1], x_forwarded: true, resources: [{names: [client, federation]}]}"
}

configure() {
  # Through these, the postgres user reaches its folders.
  mkdir -p "$DIR" "$RUN" "$LOG" "$DIR/media" "$DIR/peer/media"
  chmod 711 "$DIR"
  [ -s "$DIR/tls.crt" ] || openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost \
      -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$DIR/tls.key" -out "$DIR/tls.crt" 2>"$LOG/openssl.out"
  local name
  for name in main p1 p2 streams1 fed1 client1 peer; do log_config $name; done
  local typing=streams1
  [ -z "$TYPING" ] || typing=synrepl
  {
    cat <<Y
server_name: "$SERVER_NAME"
public_baseurl: http://127.0.0.1:18008/
signing_key_path: $DIR/main.signing.key
macaroon_secret_key: lab-macaroon
form_secret: lab-form
media_store_path: $DIR/media
database: {name: psycopg2, args: {user: postgres, database: synapse, host: $DIR/pgsock, port: $PGPORT, cp_min: 1, cp_max: 5}}
redis: {enabled: true, host: 127.0.0.1, port: $REDISPORT}
worker_replication_secret: $SECRET
start_pushers: true
federation_sender_instances: [fed1]
run_background_tasks_on: client1
instance_map:
  main: {host: 127.0.0.1, port: 19000}
  p1: {host: 127.0.0.1, port: 19001}
  p2: {host: 127.0.0.1, port: 19002}
  streams1: {host: 127.0.0.1, port: 19003}
  fed1: {host: 127.0.0.1, port: 19004}
  client1: {host: 127.0.0.1, port: 19005}
${TYPING:+  synrepl: {host: ${TYPING%:*}, port: ${TYPING##*:}\}}
stream_writers:
  events: [p1, p2]
  typing: [$typing]
  receipts: [streams1]
  to_device: [streams1]
  account_data: [streams1]
  presence: [streams1]
  push_rules: [streams1]
  device_lists: [streams1]
  thread_subscriptions: [streams1]
listeners:
  - {port: 18008, type: http, bind_addresses: [127.0.0.1], x_forwarded: true, resources: [{names: [client, federation]}]}
  - {port: 18448, type: http, tls: true, bind_addresses: [127.0.0.1], resources: [{names: [federation, client]}]}
  - {port: 19000, type: http, bind_addresses: [127.0.0.1], resources: [{names: [replication]}]}
log_config: $DIR/log-main.yaml
Y
    homeserver_config
  } >"$DIR/main.yaml"
  worker_config p1 19001 18011 >"$DIR/p1.yaml"
  worker_config p2 19002 18012 >"$DIR/p2.yaml"
  worker_config streams1 19003 18013 >"$DIR/streams1.yaml"
  worker_config fed1 19004 >"$DIR/fed1.yaml"
  worker_config client1 19005 18015 >"$DIR/client1.yaml"
  {
    cat <<Y
server_name: "$PEER_NAME"
public_baseurl: http://127.0.0.1:28008/
signing_key_path: $DIR/peer.signing.key
macaroon_secret_key: peer-macaroon
form_secret: peer-form
media_store_path: $DIR/peer/media
database: {name: sqlite3, args: {database: $DIR/peer/homeserver.db}}
listeners:
  - {port: 28008, type: http, bind_addresses: [127.0.0.1], x_forwarded: true, resources: [{names: [client, federation]}]}
  - {port: 28448, type: http, tls: true, bind_addresses: [127.0.0.1], resources: [{names: [federation, client]}]}
log_config: $DIR/log-peer.yaml
Y
    homeserver_config
  } >"$DIR/peer.yaml"
  for name in main peer; do
    [ -s "$DIR/$name.signing.key" ] || (cd "$DIR" && "$VENV/bin/python" -m synapse._scripts.generate_signing_key -o "$DIR/$name.signing.key")
  done
}

# Python puts the current folder on its path for -m: never start from inside a source tree.
start_python() { # name module config...
  local name=$1 module=$2 arguments=() file
  shift 2
  for file in "$@"; do arguments+=(-c "$DIR/$file.yaml"); done
  (cd "$DIR" && exec "$VENV/bin/python" -m "$module" "${arguments[@]}") >>"$LOG/$name.out" 2>&1 </dev/null &
  remember "$name" $!
}

start_one() { # name
  alive "$1" && return 0
  local since=$EPOCHREALTIME bin
  case $1 in
  pg)
    bin=$(pgbin)
    if [ ! -s "$DIR/pg/PG_VERSION" ]; then
      mkdir -p "$DIR/pg" "$DIR/pgsock"
      [ "$(id -u)" != 0 ] || chown postgres "$DIR/pg" "$DIR/pgsock"
      (cd / && as_postgres "$bin/initdb" -N -D "$DIR/pg" -A trust -U postgres --locale C -E UTF8) >"$LOG/initdb.out" 2>&1 ||
        { tail -n 5 "$LOG/initdb.out" >&2; die "initdb failed; can the user postgres reach $DIR?"; }
    fi
    rm -f "$DIR/pg/postmaster.pid"
    (cd / && as_postgres "$bin/postgres" -D "$DIR/pg" -p $PGPORT -k "$DIR/pgsock" \
        -c listen_addresses=127.0.0.1 -c shared_buffers=64MB -c fsync=off -c max_connections=80) >>"$LOG/pg.out" 2>&1 </dev/null &
    remember pg $!
    wait_for pg "$bin/pg_isready" -q -h "$DIR/pgsock" -p $PGPORT
    "$bin/psql" -h "$DIR/pgsock" -p $PGPORT -U postgres -qAtc "select 1 from pg_database where datname='synapse'" | grep -q 1 ||
      "$bin/createdb" -h "$DIR/pgsock" -p $PGPORT -U postgres -l C -E UTF8 -T template0 synapse
    ;;
  redis)
    (exec redis-server --port $REDISPORT --bind 127.0.0.1 --save '' --appendonly no --daemonize no --dir "$DIR") >>"$LOG/redis.out" 2>&1 </dev/null &
    remember redis $!
    wait_for redis redis-cli -h 127.0.0.1 -p $REDISPORT ping
    ;;
  main) start_python main synapse.app.homeserver main; wait_for main curl -fsS http://127.0.0.1:18008/health ;;
  peer) start_python peer synapse.app.homeserver peer; wait_for peer curl -fsS http://127.0.0.1:28008/health ;;
  p1) start_worker p1 19001 ;;
  p2) start_worker p2 19002 ;;
  streams1) start_worker streams1 19003 ;;
  fed1) start_worker fed1 19004 ;;
  client1) start_worker client1 19005 ;;
  *) die "no process is called $1; one of: $NAMES" ;;
  esac
  say "$1 is up (pid $(pid_of "$1")) after $(((${EPOCHREALTIME/./} - ${since/./}) / 1000)) ms"
}
start_worker() { # name port
  start_python "$1" synapse.app.generic_worker main "$1"
  wait_for "$1" curl -fsS "http://127.0.0.1:$2/health"
}

start_all() {
  local name pid pids=() failed=0
  # The peer needs none of the others; the workers need the tables that main makes.
  if [ "$PEER" != 0 ]; then start_one peer & pids+=($!); fi
  start_one redis & pids+=($!)
  start_one pg
  start_one main
  for name in p1 p2 streams1 fed1 client1; do start_one $name & pids+=($!); done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  [ $failed = 0 ] || { stop_all; die "not everything is up"; }
  watch_owner stop
}

stop_one() { # name
  # To a postgres, SIGTERM means to wait until its clients have gone.
  if [ "$1" = pg ]; then end_process pg INT; else end_process "$1"; fi
}
stop_all() {
  local name pid pids=()
  stop_one watch
  # All of Synapse at once, then what it stands on.
  for name in peer client1 fed1 streams1 p2 p1 main; do stop_one $name & pids+=($!); done
  for pid in "${pids[@]}"; do wait "$pid"; done
  stop_one redis
  stop_one pg
}

each_or() { # function for one, function for all, [name]
  if [ -n "${3:-}" ]; then $1 "$3"; else $2; fi
}
named() { [ -n "${1:-}" ] || die "which one? one of: $NAMES"; }

case ${1:-} in
install) install ;;
start) need redis-server redis-cli openssl curl setsid; pgbin >/dev/null; install; configure; each_or start_one start_all "${2:-}" ;;
stop) each_or stop_one stop_all "${2:-}" ;;
kill)
  named "${2:-}"
  kill_process "$2"
  ;;
freeze | thaw)
  named "${2:-}"
  alive "$2" || die "$2 does not run"
  if [ "$1" = freeze ]; then kill -STOP "$(pid_of "$2")"; else kill -CONT "$(pid_of "$2")"; fi
  ;;
restart) named "${2:-}"; configure; stop_one "$2"; start_one "$2" ;;
reset)
  stop_all
  rm -rf "$DIR/pg" "$DIR/pgsock" "$DIR/peer" "$DIR/media" "$DIR/follow" "$LOG"
  ;;
status)
  for name in $NAMES; do
    if alive $name; then echo "$name up, pid $(pid_of $name)"; else echo "$name down"; fi
  done
  ;;
env)
  echo "server_name=$SERVER_NAME"
  echo "redis=redis://127.0.0.1:$REDISPORT"
  echo "secret=$SECRET"
  echo "registration_secret=$REGISTRATION_SECRET"
  echo "instances=master=http://127.0.0.1:19000 p1=http://127.0.0.1:19001 p2=http://127.0.0.1:19002 streams1=http://127.0.0.1:19003 fed1=http://127.0.0.1:19004 client1=http://127.0.0.1:19005"
  ;;
logs)
  for name in $NAMES; do
    for file in "$LOG/$name.out" "$LOG/$name.log"; do
      [ -s "$file" ] || continue
      echo "== $file (warnings and errors, last ${2:-20})"
      case $name in pg | redis) tail -n "${2:-20}" "$file" ;; *) grep -aE ' (WARNING|ERROR|CRITICAL) |^[A-Za-z]*Error' "$file" | grep -av ' synapse.config.logger ' | tail -n "${2:-20}" || true ;; esac
    done
  done
  ;;
*) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$SELF"; exit 2 ;;
esac
