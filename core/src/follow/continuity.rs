//! Continuity: is the log that a catch-up goes on in the one that the rows before came from (F11)?
//!
//! What enters: the rows that are delivered, a few of which are remembered as anchors, and the first
//! pages of a catch-up on a connection, which begin at an anchor. What leaves: pages that go on from
//! what was delivered; or a [`Discontinuity`](Event::Discontinuity), and a gap in place of the rows
//! of a log that is another one.
//!
//! A page that shows a delivered row settles it for the connection. One that does not is left alone,
//! and the other anchors are asked for one by one. Two that are contradicted prove a break. None of
//! them found proves nothing by itself, as rows are deleted; only where an instance has the rows of
//! its own alone, and none of them was found at its address in any stream, are they looked for again
//! and given up.

use super::{
    Follower,
    look_up::LookUp,
    page::Checked,
    probe::{Probe, Verdict},
};
use crate::{
    env::Env,
    event::{Break, Event, GapReason, Origin, Warning},
    stream::{Anchor, Anchors, Compared, FetchError, Finding, Rows, Span, StreamTraits, Token},
    timer::TimerKey,
};

/// What the log of a source has shown on the present connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Log {
    /// Nothing yet.
    Unseen,
    /// That it is the one that rows were delivered from, or nothing against it.
    Same,
    /// That it is another one.
    Other,
}

/// What is known of the log of a source of which rows were delivered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Continuity {
    pub(super) anchors: Anchors,
    pub(super) log: Log,
    /// The row that is looked for.
    pub(super) look_up: Option<LookUp>,
    /// The last announcement on this connection that was below the position, and the position.
    pub(super) lower: Option<(Token, Token)>,
    /// The number of rewinds of the stream's log that the source has taken part in.
    pub(super) rewinds: u32,
}

impl Continuity {
    const fn of(anchors: Anchors, log: Log, rewinds: u32) -> Self {
        Self { anchors, log, look_up: None, lower: None, rewinds }
    }

    /// Creates the value of rows that were saved; `None` if there are none, or the log is not
    /// compared.
    pub(super) fn saved(anchors: Anchors, traits: StreamTraits) -> Option<Box<Self>> {
        let is_known = !anchors.is_empty() && traits.compared != Compared::No;
        is_known.then(|| Box::new(Self::of(anchors, Log::Unseen, 0)))
    }

    pub(super) const fn on_disconnected(&mut self) {
        (self.log, self.lower) = (Log::Unseen, None);
    }
}

impl Follower {
    /// Returns whether rows that are being delivered are to be remembered. Those that are received
    /// live are so once in a while alone; many of a page come at once.
    #[inline]
    pub(super) fn is_anchor_due(&mut self, env: &Env, origin: Origin) -> bool {
        let Some(continuity) = &mut self.continuity else { return true };
        match origin {
            Origin::Live => continuity.anchors.is_old(env.now),
            Origin::CatchUp | Origin::Audit | Origin::Hole => {
                continuity.anchors.is_due(env.now, env.config.continuity.anchor_tokens_max)
            }
        }
    }

    /// Remembers rows that are being delivered, by which the log is known again.
    #[cold]
    pub(super) fn remember_as_anchor(
        &mut self,
        env: &mut Env,
        token: Token,
        rows: &Rows,
        origin: Origin,
    ) {
        if token.before() == token {
            // No span has it.
            return;
        }
        let anchor = Anchor::new(self.source.stream(), token, rows);
        // The first rows of a page are the beginning of what its log is known by.
        let log = if origin == Origin::CatchUp { Log::Same } else { Log::Unseen };
        let rewinds = env.streams[self.stream.as_usize()].rewinds;
        let new = || Box::new(Continuity::of(Anchors::NONE, log, rewinds));
        let continuity = self.continuity.get_or_insert_with(new);
        continuity.anchors.push(anchor.clone(), env.now, env.config.continuity.anchor_every);
        if origin == Origin::Live {
            self.look_at_address(env, anchor);
        }
    }

    /// Forgets the rows above `token`: they are no longer in the log.
    pub(super) fn forget_anchors_above(&mut self, token: Token) {
        if let Some(continuity) = &mut self.continuity {
            continuity.anchors.forget_above(token);
        }
    }

    /// Returns whether the log has shown on this connection to be another one.
    pub(super) fn has_other_log(&self) -> bool {
        self.continuity.as_ref().is_some_and(|continuity| continuity.log == Log::Other)
    }

    /// Handles the first evidence on a connection: a page that came between it and the one before
    /// says nothing of the log that is there now.
    pub(super) fn doubt_log(&mut self) {
        if !self.is_confirmed() {
            self.set_log(Log::Unseen);
        }
    }

    pub(super) fn set_log(&mut self, log: Log) {
        if let Some(continuity) = &mut self.continuity {
            continuity.log = log;
        }
    }

    /// Returns what the catch-up is to request before it goes on, if the log was not looked at on
    /// this connection: a page that begins at a delivered row, or such a row alone.
    pub(super) fn next_probe(&mut self, env: &Env) -> Option<Span> {
        let (traits, position) = (self.traits, self.position?);
        let continuity = self.continuity.take()?;
        let reach = u64::from(env.config.continuity.anchor_reach_max);
        let span = self.catch_up_mut().and_then(|catch_up| {
            if continuity.log == Log::Same || catch_up.below.is_some() {
                catch_up.probe = None;
                return None;
            }
            let mut probe = catch_up.probe.take().unwrap_or_default();
            let token = probe.next(&continuity.anchors, position)?.token();
            let is_near = probe.answered.is_none() && position.distance_from(token) <= reach;
            probe.asked = token;
            catch_up.probe = Some(probe);
            Some(if is_near {
                catch_up.pager.next_span(token.before(), catch_up.target, traits, &env.config)
            } else {
                Span::new(token.before(), token)
            })
        });
        self.continuity = Some(continuity);
        span
    }

    /// Compares the answer to what [`Follower::next_probe`] has requested with the rows that were
    /// delivered. Returns what of the page may be applied.
    pub(super) fn compare_page(&mut self, env: &mut Env, mut page: Checked) -> Option<Checked> {
        let Some(mut probe) = self.catch_up_mut().and_then(|catch_up| catch_up.probe.take()) else {
            return Some(page);
        };
        let position = self.position.unwrap_or(Token::START);
        let (stream, token) = (self.source.stream(), probe.asked);
        let Some(anchors) = self.anchors() else { return Some(page) };
        let anchor = anchors.upto(position).find(|anchor| anchor.token() == token);
        let rows = page.rows.iter().filter(|(of, _)| *of == token).map(|(_, row)| row);
        let compare = |anchor: &Anchor| anchor.compare(stream, rows, !page.split);
        let finding = anchor.map_or(Finding::Absent, compare);
        // The rows that were delivered may be those that the page lacks.
        let is_cut = page.split && page.complete == token && finding == Finding::Absent;
        match probe.on_answer((!is_cut).then_some(finding), anchors, position) {
            Verdict::Same => {
                self.on_same_log(env);
                page.rows.retain(|(token, _)| *token > position);
                if page.complete > position {
                    page.from = position;
                    return Some(page);
                }
                self.fetch_next(env);
            }
            Verdict::AskOn => self.probe_on(env, probe),
            Verdict::Broken { token } => {
                let why = Break::OtherRows { token, same_upto: probe.same };
                self.on_other_log(env, why);
            }
            Verdict::Gone => self.on_rows_gone(env, probe),
            Verdict::Unknown => self.on_unknown_log(env),
        }
        None
    }

    /// Handles that the rows of one token are too many for an answer: another anchor is asked for
    /// instead. Returns any other error, which teaches nothing.
    pub(super) fn pass_over(&mut self, env: &mut Env, error: FetchError) -> Option<FetchError> {
        let is_too_large = matches!(error, FetchError::TooLarge { .. });
        let position = self.position.unwrap_or(Token::START);
        let probe = self.catch_up_mut().and_then(|up| up.probe.take_if(|_| is_too_large));
        let (Some(mut probe), Some(anchors)) = (probe, self.anchors()) else { return Some(error) };
        match probe.on_answer(None, anchors, position) {
            Verdict::Gone => self.on_rows_gone(env, probe),
            Verdict::Unknown => self.on_unknown_log(env),
            Verdict::AskOn | Verdict::Same | Verdict::Broken { .. } => self.probe_on(env, probe),
        }
        None
    }

    fn probe_on(&mut self, env: &mut Env, probe: Box<Probe>) {
        if let Some(catch_up) = self.catch_up_mut() {
            catch_up.probe = Some(probe);
            self.fetch_next(env);
        }
    }

    /// Notes that a delivered row was found in the log.
    pub(super) fn on_same_log(&mut self, env: &mut Env) {
        self.set_log(Log::Same);
        if self.traits.own_rows_only {
            env.addresses.prove(self.source.instance());
        }
    }

    /// Handles that nothing can be found out about the log: it is believed.
    fn on_unknown_log(&mut self, env: &mut Env) {
        self.set_log(Log::Same);
        self.fetch_next(env);
    }

    /// Handles that none of the delivered rows is in the log.
    fn on_rows_gone(&mut self, env: &mut Env, mut probe: Box<Probe>) {
        let looked_for = probe.looked_for;
        let is_believed =
            !self.traits.own_rows_only || env.addresses.is_proven(self.source.instance());
        if is_believed {
            self.set_log(Log::Same);
            let source = self.source.clone();
            env.notify(Event::Warning(Warning::RowsGone { source, looked_for }));
            self.fetch_next(env);
        } else if probe.round < env.config.continuity.unfound_retries_max {
            let round = probe.begin_again();
            env.addresses.want_proof(self.source.instance());
            if let Some(catch_up) = self.catch_up_mut() {
                catch_up.probe = Some(probe);
                catch_up.pager.back_off();
            }
            let delay = env.jitter.delay(env.config.continuity.unfound_retry, round);
            env.timers.set(TimerKey::FetchRetry(self.index), env.now + delay);
        } else {
            self.on_other_log(env, Break::NoRows { looked_for });
        }
    }

    /// Gives up what was to be fetched, as the log is another one: a gap stands in its place (F2).
    fn on_other_log(&mut self, env: &mut Env, why: Break) {
        self.set_log(Log::Other);
        env.stats.discontinuities += 1;
        let position = self.position.unwrap_or(Token::START);
        let source = self.source.clone();
        env.notify(Event::Discontinuity { source, position, why });
        let from = match why {
            Break::OtherRows { token, same_upto } => {
                let same = same_upto.unwrap_or_else(|| token.before());
                // What was delivered above is no longer in any log.
                self.forget_anchors_above(same);
                same.min(position)
            }
            Break::NoRows { .. } => position,
        };
        let Some(catch_up) = self.catch_up_mut() else { return };
        let upto = catch_up.target.max(position);
        self.notify_gap(env, Span::new(from, upto), GapReason::Discontinuity);
        self.set_position(env, upto);
        self.continue_or_finish(env);
    }
}
