#!/usr/bin/env bash
# A real Synapse of before 1.67 on loopback: one process, sqlite, with a direct TCP replication
# listener.
#
#   legacy.sh VERSION install     into a virtual environment of its own
#   legacy.sh VERSION start       what already runs is left alone
#   legacy.sh VERSION stop        orderly
#   legacy.sh VERSION kill        SIGKILL
#   legacy.sh VERSION reset       stop and throw the database, the configuration and the logs away
#   legacy.sh VERSION status | env | logs [LINES]
#
# VERSION: those that were tried are 1.0.0, 1.12.4, 1.13.0 and 1.66.0.
#
# The ports are free ones, drawn at the first start after a reset; `env` tells them, one NAME=VALUE
# a line: `client` is the client API, `tcp` direct TCP replication, `http` HTTP replication.
#
# Environment:
#   SYNREPL_LEGACY_DIR    database, configuration, logs, pids (default: synrepl-legacy/VERSION in
#                         the system's temp folder)
#   SYNREPL_LEGACY_OWNER  a process id: when it ends, for whatever reason, the server is stopped
#   SYNREPL_LEGACY_VENVS  where the virtual environments are, kept between runs (default:
#                         ~/.cache/synrepl)
#   PYTHON                the Python to install with (default: python3); 3.11 is the one that the
#                         pinned packages have wheels for
set -euo pipefail

SELF=$(realpath "$0")
HERE=$(dirname "$SELF")
usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$SELF"; exit 2; }
VERSION=${1:-}
case $VERSION in [0-9]*.[0-9]*) ;; *) usage ;; esac

SERVER_NAME=localhost:28448
REGISTRATION_SECRET=lab-registration-secret
DIR=${SYNREPL_LEGACY_DIR:-${TMPDIR:-/tmp}/synrepl-legacy/$VERSION}
VENV=${SYNREPL_LEGACY_VENVS:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/synrepl}/synapse-$VERSION
RUN=$DIR/run
LOG=$DIR/log
KIND="synapse $VERSION"
OWNER=${SYNREPL_LEGACY_OWNER:-}
. "$HERE/processes.sh"

# Whether this release is at least that one.
since() { [ "$(printf '%s\n' "$1" "$VERSION" | sort -V | head -n 1)" = "$1" ]; }

# What legacy-pins.txt leaves open, because releases disagree about it.
pins() {
  echo "matrix-synapse==$VERSION"
  if since 1.22.0; then echo canonicaljson==1.6.5; else echo canonicaljson==1.5.0; fi
  if since 1.22.0; then echo prometheus-client==0.14.1; elif since 1.12.0; then echo prometheus-client==0.7.1; else echo prometheus-client==0.3.1; fi
}

install() {
  local python=${PYTHON:-python3}
  need "$python"
  "$VENV/bin/python" -c "import importlib.metadata as m, sys
sys.exit(m.version('matrix-synapse') != '$VERSION')" 2>/dev/null && return 0
  say "installing into $VENV"
  # Where it will stay from the start (its scripts know the path); a broken one is made again.
  rm -rf "$VENV"
  mkdir -p "$(dirname "$VENV")"
  "$python" -m venv "$VENV"
  pins >"$VENV/pins.txt"
  # Two packages are only there as sources; setuptools 81 and later cannot build them.
  "$VENV/bin/pip" install -q --disable-pip-version-check setuptools==66.1.1 wheel==0.48.0
  "$VENV/bin/pip" install -q --disable-pip-version-check --no-deps --no-build-isolation \
    -r "$HERE/legacy-pins.txt" -r "$VENV/pins.txt"
}

free_ports() { # how many
  python3 -c '
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in sockets: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))' "$1"
}

configure() {
  [ ! -s "$DIR/homeserver.yaml" ] || return 0
  local client tcp http unlimited='{per_second: 10000, burst_count: 10000}'
  mkdir -p "$DIR" "$RUN" "$LOG" "$DIR/media" "$DIR/uploads"
  read -r client tcp http <<<"$(free_ports 3)"
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost \
    -keyout "$DIR/tls.key" -out "$DIR/tls.crt" 2>"$LOG/openssl.out"
  cat >"$DIR/env" <<Y
server_name=$SERVER_NAME
registration_secret=$REGISTRATION_SECRET
client=http://127.0.0.1:$client
tcp=127.0.0.1:$tcp
http=127.0.0.1:$http
Y
  cat >"$DIR/log.yaml" <<Y
version: 1
formatters: {precise: {format: '%(asctime)s - %(name)s - %(lineno)d - %(levelname)s - %(message)s'}}
handlers: {file: {class: logging.FileHandler, filename: $LOG/synapse.log, formatter: precise}}
root: {level: INFO, handlers: [file]}
disable_existing_loggers: false
Y
  # Options that a release does not know are ignored by it.
  cat >"$DIR/homeserver.new" <<Y
server_name: "$SERVER_NAME"
pid_file: $DIR/synapse.pid
no_tls: true
report_stats: false
suppress_key_server_warning: true
trusted_key_servers: []
signing_key_path: $DIR/signing.key
macaroon_secret_key: lab-macaroon
form_secret: lab-form
media_store_path: $DIR/media
uploads_path: $DIR/uploads
database: {name: sqlite3, args: {database: $DIR/homeserver.db}}
enable_registration: true
enable_registration_without_verification: true
registration_shared_secret: $REGISTRATION_SECRET
bcrypt_rounds: 4
federation_ip_range_blacklist: []
# Then the rows of the stream federation are for a sender that is another process.
send_federation: false
enable_group_creation: true
enable_room_list_search: true
tls_certificate_path: $DIR/tls.crt
tls_private_key_path: $DIR/tls.key
url_preview_enabled: false
rc_messages_per_second: 10000
rc_message_burst_count: 10000
rc_message: $unlimited
rc_registration: $unlimited
rc_login: {address: $unlimited, account: $unlimited, failed_attempts: $unlimited}
rc_joins: {local: $unlimited, remote: $unlimited}
rc_invites: {per_room: $unlimited, per_user: $unlimited}
rc_admin_redaction: $unlimited
event_cache_size: 1K
listeners:
  - {port: $client, type: http, tls: false, bind_addresses: [127.0.0.1], x_forwarded: true, resources: [{names: [client, federation], compress: false}]}
  - {port: $tcp, type: replication, bind_addresses: [127.0.0.1]}
  - {port: $http, type: http, tls: false, bind_addresses: [127.0.0.1], resources: [{names: [replication], compress: false}]}
log_config: $DIR/log.yaml
Y
  (cd "$DIR" && "$VENV/bin/python" "$HERE/legacy_homeserver.py" -c "$DIR/homeserver.new" --generate-keys) >"$LOG/keys.out" 2>&1 ||
    { tail -n 5 "$LOG/keys.out" >&2; die "no signing key"; }
  mv "$DIR/homeserver.new" "$DIR/homeserver.yaml"
}
setting() { sed -n "s/^$1=//p" "$DIR/env"; }

start() {
  ! alive synapse || return 0
  local began=$EPOCHREALTIME
  (cd "$DIR" && exec "$VENV/bin/python" "$HERE/legacy_homeserver.py" -c "$DIR/homeserver.yaml") >>"$LOG/synapse.out" 2>&1 </dev/null &
  remember synapse $!
  wait_for synapse curl -fsS "$(setting client)/_matrix/client/versions"
  watch_owner "$VERSION" stop
  say "is up (pid $(pid_of synapse)) after $(((${EPOCHREALTIME/./} - ${began/./}) / 1000)) ms"
}

stop() {
  end_process watch
  end_process synapse
}

case ${2:-} in
install) install ;;
start) need openssl curl setsid; install; configure; start ;;
stop) stop ;;
kill) kill_process synapse ;;
reset)
  stop
  rm -rf "$DIR"
  ;;
status) if alive synapse; then echo "synapse up, pid $(pid_of synapse)"; else echo "synapse down"; fi ;;
env) [ -s "$DIR/env" ] || die "was never started"; cat "$DIR/env" ;;
logs)
  tail -n "${3:-20}" "$LOG/synapse.out" | cut -c 1-300
  # Pushes have nowhere to go, and sqlite is at times too slow for all that is written.
  grep -aE ' (WARNING|ERROR|CRITICAL) ' "$LOG/synapse.log" | grep -avE 'httppusher|logging.context|client_ips' |
    tail -n "${3:-20}" | cut -c 1-300 || true
  ;;
*) usage ;;
esac
