//! The set-up of `synrepl follow`: flags enter, a [`Setup`] leaves. Every mistake in flags and
//! files is found before anything is connected.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use synrepl::{Builder, Positions, Start};
use synrepl_core::stream::CATALOGUE;

use super::instances;
use crate::{
    address,
    diagnostics::Diagnostics,
    exit::Failure,
    flags::{FollowFlags, Format, StartFlag},
    library_log,
    positions_file::PositionsFile,
    printer::Printer,
    record::{self, TraceFile},
    secrets::SecretSource,
    stderr::Stderr,
    warning::Circumstances,
};

/// The longest `--fetch-timeout`: a writer that takes longer is better asked anew.
const FETCH_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// Everything that a run needs.
pub(super) struct Setup {
    pub(super) builder: Builder,
    pub(super) positions: Option<(PositionsFile, Positions)>,
    pub(super) trace: Option<TraceFile>,
    pub(super) diagnostics: Diagnostics<Stderr>,
    pub(super) printer: Printer<tokio::io::Stdout>,
    pub(super) circumstances: Circumstances,
    /// Whether events about connections, which stdout shows, are reported on stderr as well.
    pub(super) tell_twice: bool,
}

/// Reads the files, opens those to write, and fills the builder. Nothing is connected.
pub(super) fn set_up(flags: FollowFlags) -> Result<Setup, Failure> {
    library_log::show(&flags.loudness, false);
    let instances = instances::names(&flags.instance)?;
    check_combination(&flags)?;
    let builder = builder(&flags)?;

    let secret = SecretSource::replication(flags.secret_file.as_ref()).read()?;
    let has_secret = secret.is_some();
    let builder = match secret {
        Some(secret) => builder.secret(secret),
        None => builder,
    };

    let positions = flags.positions.as_deref().map(PositionsFile::open).transpose()?;
    let builder = match &positions {
        Some((_, positions)) => builder.positions(positions.clone()),
        None => builder,
    };
    // The trace is created last, because that empties an existing file.
    let (builder, trace) = match flags.record.as_deref().map(record::create).transpose()? {
        Some((writer, file)) => (builder.record(writer), Some(file)),
        None => (builder, None),
    };

    let terminal = io::stderr().is_terminal();
    let mut diagnostics = Diagnostics::new(Stderr, terminal, flags.loudness.quiet);
    diagnostics.exposed(&[
        SecretSource::replication(flags.secret_file.as_ref()),
        SecretSource::redis(flags.redis_password_file.as_ref()),
    ]);
    let format = if flags.acknowledge { Some(Format::Json) } else { flags.format };
    let printer = Printer::stdout(format);
    let tell_twice = !(printer.is_text() && io::stdout().is_terminal());
    for stream in flags.stream.iter().filter(|stream| !is_known(stream)) {
        let names: Vec<&str> = CATALOGUE.iter().map(|(name, _)| *name).collect();
        diagnostics.note(&format!(
            "--stream {stream}: Synapse has no such stream, it is followed all the same. Known: {}",
            names.join(", ")
        ));
    }
    if let Some((file, positions)) = &positions {
        let path = file.path().display();
        if file.is_unlocked() {
            diagnostics.note(&format!(
                "{path} cannot be locked where it is: see to it that no second process uses it"
            ));
        }
        if is_pipe(&io::stdout()) && !flags.acknowledge {
            diagnostics.note(
                "positions count what was written to the pipe; what its reader has not handled \
                 when it dies is not printed again (see --acknowledge)",
            );
        }
        for note in file.notes() {
            diagnostics.note(&format!("{path}: {note}"));
        }
        diagnostics.note(&match positions.len() {
            0 => format!("{path} holds no positions yet: sources start as --start says"),
            count => format!("resuming {count} sources from {path}"),
        });
    }
    let circumstances = Circumstances {
        server_sends_missed_rows: server_sends_missed_rows(&flags),
        tcp: flags.tcp,
        server_name: flags.server_name.unwrap_or_default(),
        observe_only: flags.observe_only,
        instances,
        has_secret,
    };
    Ok(Setup { builder, positions, trace, diagnostics, printer, circumstances, tell_twice })
}

/// Refuses flags that are valid one by one but not together, and an `--audit` below one second.
fn check_combination(flags: &FollowFlags) -> Result<(), Failure> {
    if flags.acknowledge && flags.format == Some(Format::Text) {
        return Err(Failure::usage(
            "--acknowledge: only JSON lines have a number to acknowledge; leave --format text out",
        ));
    }
    if server_sends_missed_rows(flags) {
        if flags.observe_only {
            return Err(Failure::usage(
                "--observe-only: a server before 1.13 says nothing to those who do not subscribe; \
                 leave it out, or give a later --dialect if the server is a later one",
            ));
        }
        if flags.audit.is_some() {
            return Err(Failure::usage(
                "--audit: a server before 1.13 has nothing to compare with; leave it out, or give \
                 a later --dialect if the server is a later one",
            ));
        }
        if let Some(instance) = flags.instance.first() {
            return Err(Failure::usage(format!(
                "--instance {}: a server before 1.13 sends missed rows over --tcp itself; leave it \
                 out, or give a later --dialect if the server is a later one",
                instance.name
            )));
        }
    } else if flags.start == StartFlag::Beginning && flags.instance.is_empty() {
        return Err(Failure::usage(
            "--start beginning: what was written before is fetched from the instances; name them \
             with --instance NAME=URL",
        ));
    } else if flags.audit.is_some() && flags.instance.is_empty() {
        return Err(Failure::usage(
            "--audit: what was delivered is compared with what the instances hold; name them with \
             --instance NAME=URL",
        ));
    }
    // Eight times that is a time, too.
    if flags.fetch_timeout < Duration::from_secs(1) || flags.fetch_timeout > FETCH_TIMEOUT_MAX {
        return Err(Failure::usage(
            "--fetch-timeout: write a time from 1s to 1h; a writer at work answers in \
             milliseconds, after a long outage in minutes",
        ));
    }
    if flags.audit.is_some_and(|every| every < Duration::from_secs(1)) {
        return Err(Failure::usage(
            "--audit: write 1s or more, as in 1m; rows that are late need time to come",
        ));
    }
    Ok(())
}

/// Whether the server sends missed rows over the connection itself (`protocol.md` 4.2).
fn server_sends_missed_rows(flags: &FollowFlags) -> bool {
    flags.tcp.is_some() && !flags.dialect.unwrap_or_default().names_instances()
}

fn builder(flags: &FollowFlags) -> Result<Builder, Failure> {
    let urls = flags.instance.iter().map(|instance| instance.url.as_str());
    let urls = urls.chain(flags.redis.as_deref());
    let ca_file = address::ca_file(flags.ca_file.as_deref(), urls)?;
    let name = flags.name.clone();
    let name = name.unwrap_or_else(|| format!("synrepl-follow-{}", std::process::id()));
    let start = match flags.start {
        StartFlag::Now => Start::Now,
        StartFlag::Beginning => Start::Beginning,
    };
    let mut builder = connection(flags, ca_file)?
        .instance(name)
        .start(start)
        .observe_only(flags.observe_only)
        .user_ip(flags.user_ip);
    builder = builder.limits(|limits| {
        limits.fetch_timeout_max = limits.fetch_timeout_max.max(8 * flags.fetch_timeout);
        limits.fetch_timeout = flags.fetch_timeout;
    });
    if let Some(every) = flags.audit {
        builder = builder.audit(every);
    }
    if !flags.stream.is_empty() {
        builder = builder.streams(flags.stream.iter().cloned());
    }
    for instance in &flags.instance {
        let url = address::instance(&instance.url, ca_file);
        builder = builder
            .fetch_from(&instance.name, &url)
            .map_err(|error| Failure::usage(format!("--instance {}: {error}", instance.name)))?;
    }
    Ok(builder)
}

/// The builder for the transport that the flags name: direct TCP or Redis.
fn connection(flags: &FollowFlags, ca_file: Option<&str>) -> Result<Builder, Failure> {
    if let Some(address) = &flags.tcp {
        let builder = Builder::tcp(address, flags.dialect.unwrap_or_default())
            .map_err(|error| Failure::usage(format!("--tcp: {error}")))?;
        return Ok(match &flags.server_name {
            Some(name) => builder.server_name(name),
            None => builder,
        });
    }
    let password = SecretSource::redis(flags.redis_password_file.as_ref()).read()?;
    // `--redis` is given here: the parser requires it where `--tcp` is absent.
    let url = flags.redis.as_deref().unwrap_or_default();
    let url = address::redis(url, password.as_ref(), ca_file);
    Builder::redis(&url, flags.server_name.as_deref().unwrap_or_default())
        .map_err(|error| Failure::usage(format!("--redis: {error}")))
}

fn is_known(stream: &str) -> bool {
    CATALOGUE.iter().any(|(name, _)| *name == stream)
}

/// Whether this is a pipe, behind which somebody else handles what was written.
#[cfg(unix)]
fn is_pipe(stdout: &io::Stdout) -> bool {
    use std::os::{fd::AsFd as _, unix::fs::FileTypeExt as _};
    let file = stdout.as_fd().try_clone_to_owned().map(std::fs::File::from);
    file.and_then(|file| file.metadata()).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(stdout: &io::Stdout) -> bool {
    !stdout.is_terminal()
}
