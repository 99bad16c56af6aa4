//! The flags of the command, and its help texts. The doc comment of a flag is its help text.

pub(crate) mod serve;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use synrepl_core::wire::Dialect;

use self::serve::ServeFlags;

const ABOUT: &str =
    "Follow a Synapse deployment's replication streams, and write streams of your own";

const EXIT_CODES: &str = "\
Exit codes:
  0    asked to stop (Ctrl-C, SIGTERM, SIGHUP), --for is over; replay: no difference
  1    something failed on the way (it is said on stderr), or nobody reads stdout any more;
       serve --until-eof: a line was refused; replay: a difference
  2    wrong flags or files, nothing was started; replay: the file cannot be read
  130  a second Ctrl-C while stopping";

const FOLLOW_ABOUT: &str = "\
Follow a deployment and print one line per event on stdout: readable ones at a terminal, JSON \
objects otherwise. Diagnostics go to stderr. The deployment is reached over its Redis (--redis), or, \
before Synapse 1.67, at the main process's direct TCP listener (--tcp).

What was missed (while stopped, while the connection was lost) is fetched from the instances that \
wrote it, so name their HTTP replication listeners with --instance. Before Synapse 1.13 the server \
sends it over --tcp itself. With --positions a later run goes on where this one stopped. Deployments \
that cannot be reached are tried again for ever.";

const FOLLOW_EXAMPLES: &str = "\
Examples:
  Watch everything, starting now, without sending anything:
    synrepl follow --redis redis://127.0.0.1:6379 --server-name example.com --observe-only

  Feed an indexer that misses nothing, also across restarts:
    synrepl follow --redis redis://127.0.0.1:6379 --server-name example.com \\
      --secret-file /etc/synapse/replication_secret \\
      --instance master=http://127.0.0.1:9093 --instance persister1=http://127.0.0.1:9094 \\
      --stream events --positions events.json --format json | indexer

  Follow a Synapse 1.66 without Redis (`listeners: - {type: replication, port: 9092}`):
    synrepl follow --tcp 127.0.0.1:9092 --instance master=http://127.0.0.1:9093

  Follow a Synapse before 1.13, which sends missed rows itself:
    synrepl follow --tcp 127.0.0.1:9092 --dialect 1.12 --positions positions.json

JSON lines: every line is an object whose first field is \"type\":
  rows          stream, instance, token, rows, origin (live, catch_up, audit, hole), position (to resume
                from)
  position      stream, instance, token: complete up to here
  gap           stream, instance, from, upto, reason: rows in (from, upto] could not be had
  reset         stream, instance, token, from: the stream starts over
  rewound       stream, instance, token, from: the writer's log was restored from a backup; what came
                above token is no longer in it
  discontinuity stream, instance, position, why (other_rows, no_rows): what is fetched is not the log
                that the rows before came from; a gap follows
  catching_up   stream, instance, from, upto
  live          stream, instance, token
  not_live      stream, instance, token: something of it could not be used; asked again
  connected     connection
  disconnected  connection, reason, retrying
  command       command and its fields; access tokens are redacted
Fields are only ever added. Rows are what the writer sent: those of `caches` can name access
tokens, so keep the output as safe as the deployment's database.
";

const DEMO_ABOUT: &str = "\
See it work, with no set-up, in less than 30 seconds, on the loopback address alone: a writer with a \
durable log as a process of its own, one follower over a Redis bus and one over direct TCP, and \
faults on purpose. Wires are cut inside a line, the bus loses messages, a reader falls asleep, the \
writer is killed and started again.

The account while it runs has columns: time, rows acknowledged by the writer, rows delivered to the \
follower on the bus, rows delivered to the one on direct TCP, and what happened. At the end a table \
compares what was written with what each follower was given.

Exit codes:
  0  nothing was lost, nothing came twice, everything came in order
  1  something was, or the demonstration itself failed; it is said\n\
  130  Ctrl-C";

const REPLAY_ABOUT: &str = "\
Run recorded traces (`synrepl follow --record FILE`) through the core and compare the actions. \
No network is used. A trace that breaks off, as a killed recorder leaves it, counts as the same if \
everything before agrees; this is said.";

const REPLAY_EXAMPLES: &str = "\
Example:
  synrepl replay run.trace
";

#[derive(Debug, Parser)]
#[command(name = "synrepl", version, about = ABOUT, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// See it work: a writer, two followers, and everything that can go wrong between them
    #[command(long_about = DEMO_ABOUT)]
    Demo(DemoFlags),
    /// Follow a deployment and print one line per event
    #[command(long_about = FOLLOW_ABOUT, after_long_help = follow_after_help())]
    Follow(Box<FollowFlags>),
    /// Write streams of your own, for Synapse or without it
    #[command(long_about = serve::ABOUT, after_long_help = serve_after_help())]
    Serve(Box<ServeFlags>),
    /// Run recorded traces through the core and compare the actions
    #[command(long_about = REPLAY_ABOUT, after_long_help = replay_after_help())]
    Replay(ReplayFlags),
}

fn follow_after_help() -> String {
    format!("{FOLLOW_EXAMPLES}\n{EXIT_CODES}")
}

fn serve_after_help() -> String {
    format!("{}\n{EXIT_CODES}", serve::EXAMPLES)
}

fn replay_after_help() -> String {
    format!("{REPLAY_EXAMPLES}\n{EXIT_CODES}")
}

#[derive(Debug, Args)]
pub(super) struct DemoFlags {
    /// Print the table as one JSON object on stdout, and the account on stderr
    ///
    /// Keys: written, delivered (to every follower), lost, repeated, fetched, cut, faults; and
    /// followers, an array with the same of each. Default: readable text
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct FollowFlags {
    /// The deployment's Redis: redis://, rediss:// (TLS) or unix:///PATH
    ///
    /// The general form is redis://[USER:PASSWORD@]HOST[:PORT][/DB]. Better than a password in
    /// it: --redis-password-file. A user then goes to the end: redis://HOST?user=NAME. It must be
    /// the primary: a replica passes what is published to nobody (with --observe-only it will do).
    /// Example: --redis redis://127.0.0.1:6379
    #[arg(long, value_name = "URL", required_unless_present = "tcp", conflicts_with = "tcp")]
    pub(super) redis: Option<String>,

    /// The main process's direct TCP replication listener, up to Synapse 1.66
    ///
    /// Instead of --redis. Such listeners have neither encryption nor passwords.
    /// Example: --tcp 127.0.0.1:9092
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) tcp: Option<String>,

    /// The Synapse release that is spoken at --tcp
    ///
    /// Any release from 0.22 on, as in 1.66.0 or 1.13, or `latest`. Nothing on the wire tells, and
    /// servers before 1.13 and from 1.13 on do not understand each other's clients.
    /// Default: latest. Example: --dialect 1.12
    // `requires` alone is not checked where --redis, which rules --tcp out, is given.
    #[arg(long, value_name = "RELEASE", requires = "tcp", conflicts_with = "redis")]
    pub(super) dialect: Option<Dialect>,

    /// The homeserver's server_name, which is the name of the Redis channel
    ///
    /// As in user ids, with the port if it has one. With --tcp it may be left out; if it is given,
    /// a server of another name is not followed. Example: --server-name example.com
    #[arg(long, value_name = "NAME", required_unless_present = "tcp")]
    pub(super) server_name: Option<String>,

    /// HTTP replication listener of an instance; repeat for each
    ///
    /// NAME is the instance's name (the main process is `master`), URL is http://, https:// or
    /// unix:///PATH. Rows that were missed are fetched there. Default: none, so missed rows are
    /// reported as gaps. Not used before 1.13, where the server sends them itself. Example: --instance master=http://127.0.0.1:9093
    #[arg(long, value_name = "NAME=URL", value_parser = instance)]
    pub(super) instance: Vec<Instance>,

    /// Time that an instance has to answer a request for missed rows
    ///
    /// A request that is not answered is made again under the same id, so that the instance does
    /// not begin its work anew, with twice the time, up to eight times. From 1s to 1h.
    /// Example: --fetch-timeout 2m
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    pub(super) fetch_timeout: Duration,

    /// File with the deployment's worker_replication_secret
    ///
    /// A line end after it is left out. Default: the environment variable
    /// SYNREPL_REPLICATION_SECRET; without both no secret is sent.
    /// Example: --secret-file /etc/synapse/replication_secret
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: Option<PathBuf>,

    /// File with the Redis password
    ///
    /// Default: the environment variable SYNREPL_REDIS_PASSWORD; without both what --redis says.
    /// Example: --redis-password-file /run/secrets/redis
    #[arg(long, value_name = "FILE", conflicts_with = "tcp")]
    pub(super) redis_password_file: Option<PathBuf>,

    /// PEM file with the CAs to trust for rediss:// and https://
    ///
    /// Default: Mozilla's list. Example: --ca-file /etc/ssl/private-ca.pem
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,

    /// Stream to follow; repeat for several
    ///
    /// Default: all. Example: --stream events --stream receipts
    #[arg(long, value_name = "NAME")]
    pub(super) stream: Vec<String>,

    /// Where a source starts that has no saved position
    ///
    /// `now`: with what is written from now on. `beginning`: with everything that the writer
    /// still holds; needs --instance, but for --dialect below 1.13.
    #[arg(long, value_name = "WHERE", default_value = "now")]
    pub(super) start: StartFlag,

    /// Resume from this file if it exists, and save positions to it
    ///
    /// JSON, {"events":{"p1":123}}. Saved at most once a second and on exit, and only what was
    /// written to stdout before. What a pipe's reader has not handled when it dies is passed over
    /// by the next run, unless it acknowledges lines (--acknowledge). The file is replaced, so its
    /// directory must be writable; FILE.lock beside it keeps a second process off.
    /// Default: none. Example: --positions positions.json
    #[arg(long, value_name = "FILE")]
    pub(super) positions: Option<PathBuf>,

    /// Save positions only up to the line that the reader of stdout acknowledges
    ///
    /// Every JSON line has a number, "seq". The reader writes it, or the whole line or any JSON
    /// object with it, to the stdin of synrepl once it has handled that line and all before. At
    /// most 100,000 lines wait for that; then nothing more is printed. Lines that were not
    /// acknowledged come again in the next run. Example: a program that starts synrepl as its
    /// child, with pipes for both.
    #[arg(long, requires = "positions")]
    pub(super) acknowledge: bool,

    /// Look this often for rows that were lost without a trace
    ///
    /// If a message of an instance gets lost in Redis and the next one arrives, nothing tells of it.
    /// This fetches again what was delivered since the last look, up to where things stood one
    /// period before, and prints the rows that were not delivered, with "origin":"audit": below
    /// rows that came before them. Needs --instance; at least 1s. Default: never. Example: --audit 1m
    #[arg(long, value_name = "PERIOD", value_parser = duration)]
    pub(super) audit: Option<Duration>,

    /// Publish nothing at all, not even REPLICATE
    ///
    /// For looking at a production system. Sources are then known only once their writers speak.
    /// Servers before 1.13 speak to subscribers alone, so it cannot be used with those.
    /// Default: off
    #[arg(long)]
    pub(super) observe_only: bool,

    /// Also print USER_IP commands, which have a channel of their own
    ///
    /// Access tokens in them are redacted. Default: off
    #[arg(long, conflicts_with = "tcp")]
    pub(super) user_ip: bool,

    /// Record the run to this file, for `synrepl replay`
    ///
    /// An existing file is replaced. It holds rows and user ids, but no secrets. Default: none.
    /// Example: --record run.trace
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,

    /// Stop after this time, with exit code 0
    ///
    /// Default: never. Example: --for 90s, --for 1h30m
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(super) duration: Option<Duration>,

    /// Our instance name, which must differ from that of every instance
    ///
    /// Rows under it would be taken for our own and left out; nothing else depends on it here.
    /// Default: synrepl-follow-PID. Example: --name search-indexer
    #[arg(long, value_name = "INSTANCE")]
    pub(super) name: Option<String>,

    /// How events are printed
    ///
    /// Default: text if stdout is a terminal, else json. Colours need a terminal and an unset
    /// NO_COLOR.
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<Format>,

    #[command(flatten)]
    pub(super) loudness: Loudness,
}

#[derive(Debug, Args)]
pub(super) struct Loudness {
    /// Say more on stderr: -v what the library does, -vv in detail, -vvv everything
    #[arg(short, long, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(super) verbose: u8,

    /// Say less on stderr: no progress and no notes, only problems
    #[arg(short, long)]
    pub(super) quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReplayFlags {
    /// Traces, as `synrepl follow --record FILE` writes them
    #[arg(value_name = "FILE", required = true)]
    pub(super) files: Vec<PathBuf>,

    /// How results are printed
    ///
    /// Default: text if stdout is a terminal, else json.
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StartFlag {
    /// With what is written from now on
    Now,
    /// With everything that the writer still holds
    Beginning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One readable line per event
    Text,
    /// One JSON object per event
    Json,
}

/// One `--instance NAME=URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    pub(super) name: String,
    pub(super) url: String,
}

fn instance(text: &str) -> Result<Instance, String> {
    let form = "write NAME=URL, as in master=http://127.0.0.1:9093";
    let (name, url) = text.split_once('=').ok_or_else(|| format!("there is no `=`; {form}"))?;
    if name.is_empty() || name.contains("://") {
        return Err(format!("the instance's name is missing before the `=`; {form}"));
    }
    Ok(Instance { name: name.to_owned(), url: url.to_owned() })
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a number with its unit, as in 90s or 1h30m"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn follow(flags: &[&str]) -> Result<FollowFlags, String> {
        let needed = ["synrepl", "follow", "--redis", "redis://r", "--server-name", "x"];
        match Cli::try_parse_from(needed.iter().chain(flags)) {
            Ok(Cli { command: Command::Follow(flags) }) => Ok(*flags),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_help() {
        let flags = follow(&[]).unwrap();
        assert_eq!(flags.start, StartFlag::Now);
        assert!(flags.stream.is_empty() && flags.instance.is_empty());
        assert!(flags.format.is_none() && flags.duration.is_none() && flags.name.is_none());
        assert!(!flags.observe_only && !flags.user_ip && !flags.loudness.quiet);
    }

    #[test]
    fn an_instance_is_a_name_and_an_address() {
        let flags = follow(&["--instance", "p1=http://h:1/?a=b"]).unwrap();
        let expected = Instance { name: "p1".to_owned(), url: "http://h:1/?a=b".to_owned() };
        assert_eq!(flags.instance, [expected]);
        for bad in ["http://h:1", "=http://h:1", "http://h:1/?a=b"] {
            let message = follow(&["--instance", bad]).unwrap_err();
            assert!(message.contains("write NAME=URL"), "{message}");
        }
    }

    #[test]
    fn a_deployment_is_reached_over_redis_or_over_direct_tcp() {
        let parsed = |flags: &[&str]| {
            let all = ["synrepl", "follow"].iter().chain(flags);
            Cli::try_parse_from(all).map(|_| ()).map_err(|error| error.to_string())
        };
        let tcp = ["--tcp", "127.0.0.1:9092"];
        parsed(&tcp).unwrap();
        parsed(&[&tcp[..], &["--dialect", "1.12.4", "--server-name", "x"]].concat()).unwrap();
        for (flags, expected) in [
            (&["--redis", "redis://r"][..], "cannot be used with"),
            (&["--user-ip"], "cannot be used with"),
            (&["--redis-password-file", "/f"], "cannot be used with"),
            (&["--dialect", "2.0"], "write it as in `1.66.0`"),
        ] {
            let message = parsed(&[&tcp[..], flags].concat()).unwrap_err();
            assert!(message.contains(expected), "{flags:?}: {message}");
        }
        let redis = ["--redis", "redis://r", "--server-name", "x", "--dialect", "1.13"];
        assert!(parsed(&redis).unwrap_err().contains("cannot be used with"));
        assert!(parsed(&["--server-name", "x"]).unwrap_err().contains("--redis"));
    }

    #[test]
    fn durations_have_units() {
        let flags = follow(&["--for", "1h30m"]).unwrap();
        assert_eq!(flags.duration, Some(Duration::from_secs(5_400)));
        let message = follow(&["--for", "10"]).unwrap_err();
        assert!(message.contains("90s"), "{message}");
    }

    #[test]
    fn every_flag_says_its_default_or_an_example() {
        let command = Cli::command();
        for name in ["follow", "serve"] {
            let command = command.find_subcommand(name).unwrap();
            for flag in command.get_arguments().filter(|flag| flag.get_long_help().is_some()) {
                let help = flag.get_long_help().unwrap().to_string();
                let told = help.contains("Default") || help.contains("Example");
                assert!(told || !flag.get_default_values().is_empty(), "{}: {help}", flag.get_id());
            }
        }
    }
}
