//! The flags of `synrepl serve`, and its help texts. The doc comment of a flag is its help text.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use synrepl_core::wire::{Dialect, UnknownRelease};

use super::{Loudness, duration};

pub(super) const ABOUT: &str = "\
Write streams of your own. Rows come in as JSON lines on stdin, or over HTTP, and are kept in a log; \
followers get them live over Redis or direct TCP, and fetch over HTTP what they missed. Diagnostics \
go to stderr.

One line is one batch: rows that share a token and reach every follower together.
  in   {\"stream\":\"typing\",\"rows\":[[\"!room:example.com\",[\"@user:example.com\"]]]}
  out  {\"stream\":\"typing\",\"token\":1}
For each line one line comes out on stdout, in the same order, once the batch is on disk: its token, \
or {\"error\":\"...\",\"line\":7} if line 7 was no batch or was refused. Then nothing of it is kept, and \
the next line goes on. Many lines may be under way; while the disk, or the reader of stdout, is \
slower than stdin, stdin is not read. Blank lines are left out.

POST /rows on the --http address takes the same object and answers in the same form. The end of \
stdin ends nothing but stdin, unless --until-eof is given.

Ctrl-C or SIGTERM: every line that was read is answered, rows are sent, connections closed. What \
followers did not get, they fetch after the next start; a token is never given out twice.";

pub(super) const EXAMPLES: &str = "\
Examples:
  Show somebody typing in a Synapse deployment. In homeserver.yaml, which every process reads:
    stream_writers: { typing: [synrepl] }
    instance_map: { synrepl: { host: 127.0.0.1, port: 9100 } }
  Then (typing starts over with its writer, so it needs no file):
    synrepl serve --memory --name synrepl --redis redis://127.0.0.1:6379 \\
      --server-name example.com --stream-writer typing --http 127.0.0.1:9100 \\
      --secret-file /etc/synapse/replication_secret

  No Synapse at all: a log with live followers, which miss nothing. In two terminals:
    synrepl serve --log audit.log --tcp 127.0.0.1:9200 --http 127.0.0.1:9100 --server-name audit
    synrepl follow --tcp 127.0.0.1:9200 --server-name audit \\
      --instance synrepl=http://127.0.0.1:9100 --start beginning
  Rows may also come by HTTP:
    curl -d '{\"stream\":\"logins\",\"rows\":[[\"alice\",1700000000]]}' http://127.0.0.1:9100/rows

  Append a file, and be done once every line is on disk and sent:
    synrepl serve --log audit.log --http 127.0.0.1:0 --until-eof <rows.jsonl >tokens.jsonl

Redis channels. Synapse listens to SERVER_NAME. An announcement there of a stream that it does not
know cuts every one of its processes off Redis, again and again; one of a stream whose configured
writer is another instance is an error in each log. So only the streams of --stream-writer go out
there. All others go out on SERVER_NAME/synrepl, to which `synrepl follow` listens as well.

HTTP, with the secret (if there is one) as `Authorization: Bearer SECRET`:
  GET /_synapse/replication/get_repl_stream_updates/STREAM/ID?from_token=F&upto_token=U
             what followers fetch, Synapse's workers among them
  POST /rows {\"stream\":\"NAME\",\"rows\":[...]}: 200 {\"stream\":\"NAME\",\"token\":N} once it is on disk;
             else {\"error\":\"...\"} with 400 (no batch, or refused), 401 (secret), 403 (from a page in
             a browser), 408 (too slow), 413 (too large), 503 (too much at once, or the log fails)
  GET /health  OK, without a secret

Direct TCP has no passwords: whoever reaches the address reads every row. Listen where only friends
are.
";

#[derive(Debug, Args)]
pub(crate) struct ServeFlags {
    /// File of the log: made if it does not exist
    ///
    /// An SQLite database. One process at a time writes it. Example: --log rows.log
    #[arg(long, value_name = "FILE", conflicts_with = "memory")]
    pub(crate) log: Option<PathBuf>,

    /// Keep the log in memory: tokens start over with each start
    ///
    /// Only for streams of which followers expect that: typing, federation, presence_federation.
    /// Of each, 10,000 rows are kept. Default: off
    #[arg(long)]
    pub(crate) memory: bool,

    /// Keep only about so many rows per stream; older ones can no longer be fetched
    ///
    /// Default: all, with --memory 10,000. Example: --keep-rows 1000000
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keep_rows: Option<u64>,

    /// Listen here for followers over direct TCP; repeat for several releases
    ///
    /// ADDR is HOST:PORT; port 0 takes a free one. Lines are those of Synapse's newest release, or
    /// of the one that is given: 1.12, 1.13, 1.66, ... Needs --server-name.
    /// Example: --tcp 127.0.0.1:9200 --tcp 127.0.0.1:9201?dialect=1.12
    #[arg(long, value_name = "ADDR[?dialect=RELEASE]", value_parser = tcp)]
    pub(crate) tcp: Vec<TcpFlag>,

    /// Publish over the deployment's Redis: redis://, rediss:// (TLS) or unix:///PATH
    ///
    /// Needs --server-name. It must be the primary: a replica passes what is published to nobody.
    /// Example: --redis redis://127.0.0.1:6379
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,

    /// A stream that Synapse's configuration has us write; repeat for several
    ///
    /// homeserver.yaml names --name for it under `stream_writers`. Its rows go out on the channel
    /// that Synapse listens to, those of all other streams on one of their own (see below).
    /// Default: none. Example: --stream-writer typing
    #[arg(long, value_name = "STREAM", requires = "redis")]
    pub(crate) stream_writer: Vec<String>,

    /// Publish every stream on Synapse's channel, known to it or not
    ///
    /// Only where no Synapse listens: each of its processes loses its Redis connection at every
    /// announcement of a stream that it does not know, and stands still until this one stops.
    /// Default: off
    #[arg(long, requires = "redis", conflicts_with = "stream_writer")]
    pub(crate) announce_unknown_streams: bool,

    /// The homeserver's server_name: name of the Redis channel, and said to TCP followers
    ///
    /// Without Synapse any name, the same for all. Example: --server-name example.com
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,

    /// Listen here for HTTP: followers that missed rows, and POST /rows
    ///
    /// Example: --http 127.0.0.1:9100
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,

    /// A name by which --http may be called while there is no secret; repeat for several
    ///
    /// Without a secret it is called by its address or as localhost only, so that no web page that
    /// somebody here has open can read the rows. Default: none.
    /// Example: --allow-host writer.internal
    #[arg(long, value_name = "NAME", requires = "http")]
    pub(crate) allow_host: Vec<String>,

    /// Our instance name: the writer's name in stream_writers and instance_map
    ///
    /// Example: --name typing1
    #[arg(long, value_name = "INSTANCE", default_value = "synrepl")]
    pub(crate) name: String,

    /// File with the deployment's worker_replication_secret, asked for by --http
    ///
    /// A line end after it is left out. Default: the environment variable
    /// SYNREPL_REPLICATION_SECRET; without both nothing is asked for.
    /// Example: --secret-file /etc/synapse/replication_secret
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,

    /// File with the Redis password
    ///
    /// Default: the environment variable SYNREPL_REDIS_PASSWORD; without both what --redis says.
    /// Example: --redis-password-file /run/secrets/redis
    #[arg(long, value_name = "FILE")]
    pub(crate) redis_password_file: Option<PathBuf>,

    /// PEM file with the CAs to trust for rediss://
    ///
    /// Default: Mozilla's list. Example: --ca-file /etc/ssl/private-ca.pem
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// Stop at the end of stdin, once everything is on disk and sent, with exit code 0
    ///
    /// With exit code 1 if a line was refused or the log took no more; each line has its answer.
    /// Default: go on serving.
    #[arg(long)]
    pub(crate) until_eof: bool,

    /// Stop after this time, with exit code 0
    ///
    /// Default: never. Example: --for 90s
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) duration: Option<Duration>,

    /// Write the addresses to this file, once they can be connected to
    ///
    /// JSON, {"tcp":["127.0.0.1:9200"],"http":"127.0.0.1:9100"}: what port 0 became. Default: none.
    /// Example: --addresses-file serve.json
    #[arg(long, value_name = "FILE")]
    pub(crate) addresses_file: Option<PathBuf>,

    /// Say every HTTP request on stderr: method, path, status, rows, time, tokens
    ///
    /// Default: off
    #[arg(long)]
    pub(crate) access_log: bool,

    #[command(flatten)]
    pub(crate) loudness: Loudness,
}

/// The parsed value of one `--tcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TcpFlag {
    pub(crate) address: String,
    /// The release as the flag gives it.
    pub(crate) release: String,
    pub(crate) dialect: Dialect,
}

fn tcp(text: &str) -> Result<TcpFlag, String> {
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    let release = match query.split_once('=') {
        None if query.is_empty() => "latest",
        Some(("dialect", release)) => release,
        _ => {
            return Err(format!(
                "{query:?} is not `dialect=RELEASE`; write 127.0.0.1:9200?dialect=1.66"
            ));
        }
    };
    let dialect = release.parse().map_err(|error: UnknownRelease| error.to_string())?;
    Ok(TcpFlag { address: address.to_owned(), release: release.to_owned(), dialect })
}
