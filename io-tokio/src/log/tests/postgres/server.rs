//! A PostgreSQL server for all tests of this process.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdin, Command, Stdio},
    sync::OnceLock,
};

/// The running server. It ends with this process, however that ends: the script then reads the end
/// of its input.
struct Server {
    folder: String,
    _input: ChildStdin,
    _script: Child,
}

static SERVER: OnceLock<Server> = OnceLock::new();

/// The script that runs the server, under another user where the tests run as root, as postgres
/// refuses to.
const SCRIPT: &str = r#"
trap : INT TERM HUP
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
dir=$(mktemp -d /tmp/synrepl-postgres.XXXXXX)
chmod 711 "$dir"
mkdir "$dir/data" "$dir/socket"
[ "$(id -u)" != 0 ] || chown postgres "$dir/data" "$dir/socket"
as() { if [ "$(id -u)" = 0 ]; then exec setpriv --reuid postgres --regid postgres --init-groups "$@"; else exec "$@"; fi; }
cd /
(as "$bin/initdb" -N -D "$dir/data" -A trust -U postgres --locale C -E UTF8) >"$dir/log" 2>&1
(as "$bin/postgres" -D "$dir/data" -k "$dir/socket" -c listen_addresses= -c fsync=off -c max_connections=200) \
    >>"$dir/log" 2>&1 </dev/null &
pid=$!
for i in $(seq 1 300); do
    "$bin/pg_isready" -q -h "$dir/socket" && break
    kill -0 $pid || break
    sleep 0.1
done
if "$bin/pg_isready" -q -h "$dir/socket"; then echo "$dir/socket"; else tail -n 5 "$dir/log" >&2; fi
read -r _
kill -INT $pid
wait $pid
rm -rf "$dir"
"#;

fn server() -> &'static Server {
    SERVER.get_or_init(|| {
        let mut script = Command::new("bash")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut folder = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut folder).unwrap();
        assert!(!folder.is_empty(), "no PostgreSQL server came up; run .ci/install");
        let (folder, _input) = (folder.trim_end().to_owned(), script.stdin.take().unwrap());
        Server { folder, _input, _script: script }
    })
}

/// Returns the folder of the server's socket.
pub(in crate::log::tests) fn folder() -> &'static str {
    &server().folder
}

/// Returns the connection string of the server.
pub(in crate::log::tests) fn address() -> String {
    format!("host={} user=postgres dbname=postgres", folder())
}
