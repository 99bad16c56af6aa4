//! The logs of a deployment, and the sequences that their writers draw tokens from.

use std::{
    collections::BTreeSet,
    ops::{Deref, DerefMut},
};

use synrepl_core::{
    stream::{Page, Source, Token},
    wire::{Command, DecodeError},
};

use super::log::{Log, page};
use crate::scenario::Scenario;

/// All logs. They are read as a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Logs {
    logs: Vec<Log>,
    /// The last token of each stream's sequence.
    sequences: Vec<Token>,
    /// How many rows were written: each row says its number.
    serial: u64,
}

impl Deref for Logs {
    type Target = [Log];

    fn deref(&self) -> &[Log] {
        &self.logs
    }
}

impl DerefMut for Logs {
    fn deref_mut(&mut self) -> &mut [Log] {
        &mut self.logs
    }
}

impl Logs {
    /// A log for each writer of each stream. Of streams of one name, the first counts.
    pub(crate) fn of<'a>(streams: impl IntoIterator<Item = (&'a str, BTreeSet<usize>)>) -> Self {
        let mut made = Self::default();
        for (name, writers) in streams {
            if made.iter().any(|log| log.source.stream() == name) {
                continue;
            }
            let stream = made.sequences.len();
            made.logs.extend(writers.into_iter().map(|writer| {
                Log::new(Source::new(name, &Scenario::writer_name(writer)), writer, stream)
            }));
            made.sequences.push(Token::new(1));
        }
        made
    }

    /// The logs of a scenario.
    pub(crate) fn planned(scenario: &Scenario) -> Self {
        let writers = scenario.writers.len().max(1);
        Self::of(scenario.streams.iter().map(|plan| {
            (
                &*plan.name,
                plan.writers.iter().map(|writer| usize::from(*writer) % writers).collect(),
            )
        }))
    }

    /// The logs of one writer.
    pub(crate) fn of_writer(&mut self, writer: usize) -> impl Iterator<Item = &mut Log> {
        self.logs.iter_mut().filter(move |log| log.writer == writer)
    }

    /// The logs themselves.
    pub(crate) fn into_inner(self) -> Vec<Log> {
        self.logs
    }

    /// The log of a source, if there is one.
    pub(crate) fn find(&self, source: &Source) -> Option<&Log> {
        self.iter().find(|log| log.source == *source)
    }

    /// The source that a command or a bad line names, if it is that of a log.
    pub(crate) fn named_in(&self, read: &Result<Command, DecodeError>) -> Option<Source> {
        let named = |log: &&Log| match read {
            Ok(command) => log.is_named_in(command),
            Err(error) => error.row().is_some_and(|row| log.is(&row.stream, &row.instance)),
        };
        self.iter().find(named).map(|log| log.source.clone())
    }

    /// The log of a writer's own stream, if it is one.
    pub(crate) fn own(&self, writer: usize, stream: &str) -> Option<&Log> {
        self.iter().find(|log| log.writer == writer && log.source.stream() == stream)
    }

    /// How many rows were written.
    pub(crate) const fn rows_written(&self) -> u64 {
        self.serial
    }

    /// The last token of the sequence that a log draws from.
    pub(crate) fn sequence(&self, log: &Log) -> Token {
        self.sequences[log.stream]
    }

    /// A log gets rows, the next of the stream's tokens for all of them.
    pub(crate) fn write(&mut self, index: usize, rows: u8) {
        let log = &mut self.logs[index];
        let token = if log.traits.resettable {
            log.current.advanced_by(1)
        } else {
            let next = self.sequences[log.stream].advanced_by(1);
            self.sequences[log.stream] = next;
            next
        };
        log.append(token, rows, &mut self.serial);
    }

    /// A writer's database is restored from a backup that lacks the last `tokens` tokens of each of
    /// its logs there. Logs that share a sequence of tokens keep theirs.
    pub(crate) fn go_back(&mut self, writer: usize, tokens: u8) {
        for index in 0..self.logs.len() {
            let (stream, is_of) = (self.logs[index].stream, self.logs[index].writer == writer);
            if is_of
                && self.logs.iter().filter(|log| log.stream == stream).count() == 1
                && let Some(token) = self.logs[index].go_back(tokens)
            {
                self.sequences[stream] = token;
            }
        }
    }

    /// The writer of a shared sequence sees the others' tokens go by, and follows them. Whether
    /// that has moved it.
    pub(crate) fn follow(&mut self, index: usize) -> bool {
        let log = &mut self.logs[index];
        let seen = self.sequences[log.stream];
        let moves = !log.traits.resettable && log.current < seen;
        if moves {
            log.current = seen;
        }
        moves
    }

    /// What the fetch source of a source's writer answers; nothing if there is no such writer.
    pub(crate) fn page(&self, source: &Source, from: Token, upto: Token, rows_max: u32) -> Page {
        let Some(log) = self.find(source) else {
            return Page { updates: Vec::new(), upto, limited: false };
        };
        let all = self.iter().filter(|other| other.stream == log.stream);
        page(log, all, from, upto, rows_max)
    }
}
