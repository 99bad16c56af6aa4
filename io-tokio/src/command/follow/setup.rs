//! From flags to everything that a run needs, with every mistake found before it starts.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal as _},
};

use synrepl::{Builder, Positions, Start};
use synrepl_core::stream::CATALOGUE;

use crate::command::{
    address,
    diagnostics::Diagnostics,
    exit::Failure,
    flags::{FollowFlags, StartFlag},
    library_log,
    positions_file::PositionsFile,
    printer::Printer,
    record::{self, TraceFile},
    secrets::SecretSource,
    warning::Circumstances,
};

/// What a run needs.
pub(super) struct Setup {
    pub(super) builder: Builder,
    pub(super) positions: Option<(PositionsFile, Positions)>,
    pub(super) trace: Option<TraceFile>,
    pub(super) diagnostics: Diagnostics<io::Stderr>,
    pub(super) printer: Printer<tokio::io::Stdout>,
    pub(super) circumstances: Circumstances,
    /// Whether what is printed about connections is also said on stderr.
    pub(super) tell_twice: bool,
}

/// Reads the files, opens those to write, and fills the builder. Nothing is connected.
pub(super) fn set_up(flags: FollowFlags) -> Result<Setup, Failure> {
    library_log::show(&flags.loudness, false);
    let instances = instance_names(&flags)?;
    if flags.start == StartFlag::Beginning && instances.is_empty() {
        return Err(Failure::usage(
            "--start beginning: what was written before is fetched from the instances; name them \
             with --instance NAME=URL",
        ));
    }
    let builder = builder(&flags)?;

    let secret = SecretSource {
        flag: "--secret-file",
        file: flags.secret_file.as_ref(),
        variable: "SYNREPL_REPLICATION_SECRET",
    }
    .read()?;
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
    // Last, for it empties an existing file.
    let (builder, trace) = match flags.record.as_deref().map(record::create).transpose()? {
        Some((writer, file)) => (builder.record(writer), Some(file)),
        None => (builder, None),
    };

    let stderr = io::stderr();
    let terminal = stderr.is_terminal();
    let mut diagnostics = Diagnostics::new(stderr, terminal, flags.loudness.quiet);
    let printer = Printer::stdout(flags.format);
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
        diagnostics.note(&match positions.len() {
            0 => format!("{path} holds no positions yet: sources start as --start says"),
            count => format!("resuming {count} sources from {path}"),
        });
    }
    let circumstances = Circumstances {
        server_name: flags.server_name,
        observe_only: flags.observe_only,
        instances,
        has_secret,
    };
    Ok(Setup { builder, positions, trace, diagnostics, printer, circumstances, tell_twice })
}

fn builder(flags: &FollowFlags) -> Result<Builder, Failure> {
    let password = SecretSource {
        flag: "--redis-password-file",
        file: flags.redis_password_file.as_ref(),
        variable: "SYNREPL_REDIS_PASSWORD",
    }
    .read()?;
    let urls = flags.instance.iter().map(|instance| instance.url.as_str());
    let urls = urls.chain([flags.redis.as_str()]);
    let ca_file = address::ca_file(flags.ca_file.as_deref(), urls)?;
    let redis = address::redis(&flags.redis, password.as_ref(), ca_file);
    let name = flags.name.clone();
    let name = name.unwrap_or_else(|| format!("synrepl-follow-{}", std::process::id()));
    let start = match flags.start {
        StartFlag::Now => Start::Now,
        StartFlag::Beginning => Start::Beginning,
    };
    let mut builder = Builder::redis(&redis, &flags.server_name)
        .map_err(|error| Failure::usage(format!("--redis: {error}")))?
        .instance(name)
        .start(start)
        .observe_only(flags.observe_only)
        .user_ip(flags.user_ip);
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

fn instance_names(flags: &FollowFlags) -> Result<BTreeSet<String>, Failure> {
    let mut names = BTreeSet::new();
    for instance in &flags.instance {
        if !names.insert(instance.name.clone()) {
            return Err(Failure::usage(format!(
                "--instance {}: is given twice; an instance has one replication listener here",
                instance.name
            )));
        }
    }
    Ok(names)
}

fn is_known(stream: &str) -> bool {
    CATALOGUE.iter().any(|(name, _)| *name == stream)
}
