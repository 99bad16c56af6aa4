//! One source as this node sees it: not live, catching up, or live.
//!
//! The way of a row: [`Follower::on_row`] collects its batch, [`deliver`](mod@deliver) hands it
//! on if the source is live; otherwise [`catch_up`](mod@catch_up) fetches what is missing first.
//! The way of an announcement: [`Follower::on_position`], the table in [`verdict`](mod@verdict),
//! and a fetch if it says so. What no announcement tells of, the [`audit`](mod@audit) finds, if it
//! is wanted. State is per (stream, writer) and all evidence is of the present
//! connection (`protocol.md` 11.1, 11.2).

mod audit;
mod audits;
mod batch;
mod catch_up;
mod context;
mod deliver;
mod delivered;
mod holding;
mod page;
mod repeats;
mod replay;
mod verdict;
mod window;

use self::{
    audit::Audit,
    audits::Audits,
    batch::Batch,
    catch_up::CatchUp,
    delivered::Delivered,
    holding::{Held, Holding},
    repeats::{Burst, Repeats},
    verdict::{Relation, Verdict},
};
pub(crate) use self::{
    catch_up::{Blame, FetchOutcome, Lost},
    context::{Context, Fetches, Stream},
    replay::{Replay, Replays},
};
use crate::{
    config::Config,
    event::{Event, Warning},
    planted::planted,
    stream::{Order, Row, Rows, Source, StreamTraits, Token},
};

/// The receiving side of one source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Follower {
    source: Source,
    traits: StreamTraits,
    /// Everything up to here was delivered; `None` before anything was heard.
    position: Option<Token>,
    phase: Phase,
    /// The writer has said on the present connection where it stands.
    answered: bool,
    /// Rows above the position were lost: the next evidence is not enough, the rows up to it must
    /// be fetched.
    hole: bool,
    /// The first rows of a batch were dropped: what looks like a whole batch next is the rest.
    torn: bool,
    /// While unanswered: only an announcement can tell where the source stands.
    unsure: bool,
    /// In the line for a fetch.
    in_line: bool,
    batch: Option<Box<Batch>>,
    held: Option<Box<Holding>>,
    memory: Memory,
    /// Only if it is wanted.
    audit: Option<Box<Audit>>,
    /// What it keeps of rows, in bytes, as it was accounted for last.
    kept_bytes: u64,
}

/// What is remembered of rows that were delivered above, or out of, order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Memory {
    Nothing,
    Repeats(Box<Repeats>),
    Burst(Box<Burst>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Not live, and nothing to fetch.
    Idle,
    CatchingUp(Box<CatchUp>),
    /// Complete up to the position, and what comes next comes by itself.
    Live,
}

impl Follower {
    /// A source that was not heard of on the present connection.
    pub(crate) fn new(
        source: Source,
        traits: StreamTraits,
        position: Option<Token>,
        config: &Config,
    ) -> Self {
        Self {
            source,
            traits,
            position,
            phase: Phase::Idle,
            answered: false,
            hole: false,
            torn: false,
            unsure: false,
            in_line: false,
            batch: None,
            held: None,
            memory: Memory::Nothing,
            audit: Audit::new(traits, config),
            kept_bytes: 0,
        }
    }

    pub(crate) const fn source(&self) -> &Source {
        &self.source
    }

    /// Everything up to here was delivered.
    pub(crate) const fn position(&self) -> Option<Token> {
        self.position
    }

    pub(crate) const fn answered(&self) -> bool {
        self.answered
    }

    /// Whether the tokens may start over while the connection stands.
    const fn may_restart(&self, ctx: &Context<'_>) -> bool {
        self.traits.resettable && !ctx.on_tcp()
    }

    const fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// How far the writer of a source that is live or catching up is known to have come.
    fn heard_up_to(&self) -> Token {
        match &self.phase {
            Phase::CatchingUp(catch_up) => {
                let held = self.held.as_ref().and_then(|holding| holding.highest());
                held.map_or(catch_up.target, |held| held.max(catch_up.target))
            }
            Phase::Idle | Phase::Live => self.position.unwrap_or(Token::START),
        }
    }

    /// Brings the bytes that all sources keep, `total`, up to what this one keeps now. To be called
    /// after all that happens to it.
    #[inline]
    pub(crate) fn account(&mut self, total: &mut u64) {
        let remembered = match &self.memory {
            Memory::Nothing => 0,
            Memory::Repeats(repeats) => repeats.bytes(),
            Memory::Burst(burst) => burst.bytes(),
        };
        let kept = remembered + self.batch.as_ref().map_or(0, |batch| batch.bytes());
        let before = std::mem::replace(&mut self.kept_bytes, kept as u64);
        *total = *total - before + self.kept_bytes;
    }

    /// One row: kept until its batch is whole.
    pub(crate) fn on_row(&mut self, ctx: &mut Context<'_>, token: Option<Token>, row: Row) {
        let whole = self.batch.is_none() && !self.torn;
        match token {
            // Nearly all rows take this way.
            Some(token) if whole && self.is_live() && !self.hole => {
                self.deliver_live(ctx, token, Rows::from(row));
            }
            Some(token) => self.on_last_row(ctx, token, row),
            None => self.extend_batch(ctx, &row),
        }
    }

    /// A row that ends a batch, or one of a source that is not simply live.
    fn on_last_row(&mut self, ctx: &mut Context<'_>, token: Token, row: Row) {
        if planted!(ctx.config, TakesTornBatchForWhole) {
            (self.torn, self.hole) = (false, false);
        }
        let rows = match self.batch.take() {
            Some(batch) => Some(batch.finish(row)),
            // The first rows of this batch were dropped; it must be fetched.
            None if std::mem::take(&mut self.torn) => None,
            None => Some(Rows::from(row)),
        };
        match (&self.phase, rows) {
            (Phase::Live, Some(rows)) if !self.hole => self.deliver_live(ctx, token, rows),
            (Phase::Live, _) => self.fetch_hole(ctx, token),
            (Phase::CatchingUp(_), Some(rows)) if self.answered => {
                let falls_back = token <= self.heard_up_to() && self.may_restart(ctx);
                self.hold_rows(ctx, token, &rows);
                if falls_back {
                    // As for a live source: only the writer can tell what the row is.
                    self.lose_footing(ctx);
                }
            }
            (Phase::CatchingUp(_), None) if self.answered => self.fetch_hole(ctx, token),
            (Phase::CatchingUp(_) | Phase::Idle, rows) => {
                self.on_unexpected_rows(ctx, token, rows.as_ref());
            }
        }
    }

    fn extend_batch(&mut self, ctx: &mut Context<'_>, row: &Row) {
        if self.torn {
            return;
        }
        let batch = self.batch.get_or_insert_default();
        if !batch.push(row, ctx.config, ctx.shared.kept_bytes) {
            self.tear_batch();
            let source = self.source.clone();
            ctx.notify(Event::Warning(Warning::BatchOverflow { source }));
        }
    }

    /// Drops the rows of an unfinished batch. Its rest will look like a whole one.
    fn tear_batch(&mut self) {
        self.batch = None;
        self.torn = true;
        self.hole = true;
    }

    /// Rows up to `token` were sent and could not be used.
    fn fetch_hole(&mut self, ctx: &mut Context<'_>, token: Token) {
        if self.may_restart(ctx) && token <= self.heard_up_to() {
            self.lose_footing(ctx);
        } else {
            self.fetch_up_to(ctx, token);
        }
    }

    /// Rows of a source that has not said where it stands. They show that the writer has come
    /// as far as their token, which is as good as an announcement; but not in a burst, where
    /// rows with higher tokens may have been missed, nor when a reset is suspected: then they wait
    /// for an announcement. An observer cannot ask for one, which in memory may never come by
    /// itself: it takes the suspicion for true. In the oldest dialect the announcement is on its
    /// way and no row can be before it. `rows` is none if they are not whole.
    fn on_unexpected_rows(&mut self, ctx: &mut Context<'_>, token: Token, rows: Option<&Rows>) {
        let suspicious = self.unsure && self.traits.resettable;
        let asks = !ctx.config.observe_only;
        let no_evidence = ctx.over_connection()
            || self.traits.order == Order::Bursts
            || (self.traits.order == Order::UnclosedBursts && asks)
            || (suspicious && asks);
        if no_evidence || self.traits.order == Order::Loose {
            match rows {
                Some(rows) => self.hold_rows(ctx, token, rows),
                None => self.held.get_or_insert_default().note(token),
            }
        }
        if no_evidence {
            ctx.shared.ask_again = true;
            return;
        }
        // Who has no position has nothing to start over from.
        let (fresh, placed) = (self.is_fresh(), self.position.is_some());
        self.ensure_started(ctx, token.before());
        self.answer(ctx);
        if planted!(ctx.config, BelievesRowsBeforePosition) {
            self.advance_to(ctx, token.before());
        }
        // Where tokens can start over, only the suspicion finds a fetch under way.
        if (suspicious && placed) || (self.traits.resettable && !fresh) {
            self.reset(ctx, token);
        } else {
            self.fetch_up_to(ctx, token);
        }
    }

    /// An announcement: no row lies in `(prev, new]`.
    pub(crate) fn on_position(&mut self, ctx: &mut Context<'_>, prev: Token, new: Token) {
        if self.batch.is_some() && !planted!(ctx.config, IgnoresPositionInBatch) {
            self.tear_batch();
        }
        if planted!(
            ctx.config,
            DiscardsRedundantPositions if self.position.is_some_and(|position| new <= position)
        ) {
            return;
        }
        let prev = if planted!(ctx.config, IgnoresPrevious) { Token::START } else { prev };
        self.on_announced(ctx, prev, new);
    }

    /// An announcement, when its turn has come: a batch that is open now may have begun after it.
    fn on_announced(&mut self, ctx: &mut Context<'_>, prev: Token, new: Token) {
        let mut resettable = self.traits.resettable;
        resettable &= !planted!(ctx.config, NeverResets);
        resettable |= planted!(ctx.config, ResetsAnyStream);
        let started_over = resettable && new < self.heard_up_to();
        if let Phase::CatchingUp(catch_up) = &mut self.phase {
            if started_over {
                self.answer(ctx);
                self.reset(ctx, new);
            } else if self.answered {
                self.hold_position(ctx, prev, new);
            } else {
                catch_up.target = catch_up.target.max(new);
                self.answer(ctx);
                self.ask_for_replay_if_queued(ctx);
            }
            return;
        }
        let fresh = self.position.is_none();
        let held = self.held.as_ref().and_then(|holding| holding.highest());
        if fresh && self.may_restart(ctx) && held > Some(new) {
            // They are of an epoch that is over, though nothing of it was delivered.
            self.drop_held(ctx);
            self.hole = true;
        }
        // Rows that came before the first announcement are not of the past.
        let first_held =
            self.held.as_ref().filter(|_| fresh).and_then(|holding| holding.lowest_row());
        self.ensure_started(ctx, first_held.map_or(new, |first| first.before().min(new)));
        let Some(position) = self.position else { return };
        let live = self.is_live() || fresh;
        // Who says no more than where it stands may have died inside a burst, and started again.
        let may_be_cut = prev >= new && self.traits.order == Order::Bursts;
        let seen = if may_be_cut { position } else { self.seen_up_to(position) };
        let verdict = Relation::of(seen, prev, new).verdict(live, resettable);
        // A burst names the last row that was sent as the one before, which is its lowest: whoever
        // came into the middle of it has not seen the others.
        let unseen = !self.is_live() && self.traits.order == Order::Bursts && position < new;
        self.answer(ctx);
        match verdict {
            Verdict::Stay
                if planted!(
                    ctx.config,
                    ResetsLiveSources if self.is_live() && self.traits.resettable
                ) =>
            {
                self.reset(ctx, new);
            }
            Verdict::Reset => self.reset(ctx, new),
            Verdict::Fetch => self.fetch_up_to(ctx, new),
            Verdict::Advance | Verdict::Stay if unseen || self.must_fetch(new) => {
                self.fetch_up_to(ctx, new);
            }
            Verdict::Advance | Verdict::Stay => {
                let is_open =
                    self.traits.order == Order::UnclosedBursts && self.burst_highest().is_some();
                // Nothing that is said inside an unclosed burst closes it.
                if position < new && !is_open && !self.burst_reaches_above(new) {
                    self.begin_audit(ctx);
                    self.advance_to(ctx, new);
                }
                self.go_live(ctx);
            }
        }
    }

    /// An RDATA of this source could not be read. A token that could be read of it is not believed
    /// either: a fetch up to a wrong one would be answered as if there were nothing below.
    pub(crate) fn on_malformed(&mut self, ctx: &mut Context<'_>, token: Option<Token>) {
        if planted!(ctx.config, IgnoresMalformedRows) {
            return;
        }
        self.tear_batch();
        // A number ends a batch; `batch` itself may be what could not be read.
        self.torn = token.is_none();
        if ctx.over_connection() {
            self.replay_hole(ctx);
        } else {
            self.lose_footing(ctx);
        }
    }

    /// The connection is gone: nothing that was heard on it is evidence any more. `lost` says what
    /// became of an answer that was coming in on it.
    pub(crate) fn on_disconnected(&mut self, ctx: &mut Context<'_>, lost: &Lost<'_>) {
        if planted!(ctx.config, StaysLiveAcrossConnections if self.is_live()) {
            return;
        }
        self.batch = None;
        self.torn = false;
        self.unsure = false;
        self.drop_held(ctx);
        self.stop_audit(ctx);
        self.answered = false;
        if let Memory::Burst(burst) = &mut self.memory {
            burst.continuous = false;
        }
        match self.phase {
            // In the oldest dialect what was started over is asked for from the start again, and
            // later each time.
            Phase::CatchingUp(_)
                if !self.traits.resettable
                    || planted!(ctx.config, KeepsFetchOverReset)
                    || (ctx.over_connection() && self.is_fresh()) =>
            {
                self.on_replay_lost(ctx, lost);
            }
            Phase::CatchingUp(_) => self.abandon_catch_up(ctx),
            Phase::Idle | Phase::Live => self.phase = Phase::Idle,
        }
    }

    /// The source is to be asked where it stands, and is not live until it answers.
    fn lose_footing(&mut self, ctx: &mut Context<'_>) {
        self.stop_audit(ctx);
        if self.is_live() {
            self.phase = Phase::Idle;
            let token = self.position.unwrap_or(Token::START);
            let source = self.source.clone();
            ctx.notify(Event::NotLive { source, token });
        }
        if self.answered {
            self.answered = false;
            ctx.shared.unanswered += 1;
        }
        self.unsure = true;
        ctx.shared.ask_again = true;
    }

    fn answer(&mut self, ctx: &mut Context<'_>) {
        if !self.answered {
            self.answered = true;
            ctx.shared.unanswered -= 1;
        }
    }

    /// Gives a source that was never heard of its first position.
    fn ensure_started(&mut self, ctx: &mut Context<'_>, current: Token) {
        if self.position.is_none() {
            let settling = ctx.settling();
            let start = ctx.stream.start(ctx.config.start, current, settling);
            let skips = planted!(ctx.config, SkipsFirstRowsOfNewWriters if !settling);
            self.set_position(ctx, if skips { current } else { start });
        }
    }

    /// Nothing of this source was ever delivered, so there is nothing to forget.
    fn is_fresh(&self) -> bool {
        self.position.is_none_or(|position| position == Token::START)
            && self.burst_highest().is_none()
    }

    /// Starts the source over and fetches up to `new`.
    fn reset(&mut self, ctx: &mut Context<'_>, new: Token) {
        self.abandon_catch_up(ctx);
        // What came before the announcement of a new epoch is of the old one.
        self.drop_held(ctx);
        self.reset_audit(ctx);
        let is_fresh = self.is_fresh();
        if let Memory::Burst(burst) = &mut self.memory {
            **burst = Burst::default();
        }
        let from = self.position.replace(Token::START).unwrap_or(Token::START);
        if !is_fresh {
            ctx.shared.stats.resets += 1;
            let source = self.source.clone();
            ctx.notify(Event::Reset { source, from, token: Token::START });
            ctx.end_waits(Token::START);
        }
        self.fetch_up_to(ctx, new);
    }

    fn go_live(&mut self, ctx: &mut Context<'_>) {
        if !self.is_live() {
            self.phase = Phase::Live;
            let token = self.position.unwrap_or(Token::START);
            if self.traits.order == Order::UnclosedBursts {
                self.burst().floor = token;
            }
            let source = self.source.clone();
            ctx.notify(Event::Live { source, token });
            self.start_audit(ctx);
        }
        self.release_held(ctx);
    }

    /// Handles what was held, as far as the source stays live.
    fn release_held(&mut self, ctx: &mut Context<'_>) {
        let Some(mut holding) = self.held.take() else { return };
        let queue = holding.take(&mut ctx.shared.stats.held_bytes_now);
        let position = self.position;
        for held in queue {
            match held {
                Held::Rows { token, rows } if self.is_live() => {
                    let fetched = self.traits.order != Order::Loose
                        && position.is_some_and(|position| token <= position);
                    if planted!(ctx.config, RepeatsHeldRows if fetched) {
                        ctx.notify(Event::Rows {
                            source: self.source.clone(),
                            token,
                            rows,
                            origin: crate::event::Origin::Live,
                            position: token,
                        });
                    } else if fetched {
                        ctx.shared.stats.rows_repeated += rows.len() as u64;
                    } else if self.hole {
                        self.fetch_up_to(ctx, token);
                    } else {
                        self.deliver_live(ctx, token, rows);
                    }
                }
                Held::Rows { token, rows } => self.hold_rows(ctx, token, &rows),
                // The target was raised past it since.
                Held::Position { new, .. } if position.is_some_and(|position| new < position) => {}
                Held::Position { prev, new } => self.on_announced(ctx, prev, new),
            }
        }
    }

    fn hold_rows(&mut self, ctx: &mut Context<'_>, token: Token, rows: &Rows) {
        if planted!(ctx.config, DropsRowsWhileCatchingUp) {
            return;
        }
        let holding = self.held.get_or_insert_default();
        if !holding.push_rows(token, rows, ctx.config, &mut ctx.shared.stats.held_bytes_now) {
            self.overflow(ctx, token);
        }
    }

    fn hold_position(&mut self, ctx: &mut Context<'_>, prev: Token, new: Token) {
        let holding = self.held.get_or_insert_default();
        if !holding.push_position(prev, new, ctx.config) {
            self.overflow(ctx, new);
        }
    }

    /// What no longer fits is fetched, together with all that was held.
    fn overflow(&mut self, ctx: &mut Context<'_>, token: Token) {
        let held = self.held.as_ref().and_then(|holding| holding.highest());
        if self.position.is_none()
            && let Some(holding) = &mut self.held
        {
            // Its rows are not of the past: the announcement must not start the source above them.
            holding.take(&mut ctx.shared.stats.held_bytes_now);
            self.hole = true;
        } else {
            self.drop_held(ctx);
        }
        if !planted!(ctx.config, DropsOverflow) {
            self.raise_target(held.map_or(token, |held| held.max(token)));
        }
        ctx.shared.stats.overflows += 1;
        let source = self.source.clone();
        ctx.notify(Event::Warning(Warning::HoldingOverflow { source }));
    }

    fn drop_held(&mut self, ctx: &mut Context<'_>) {
        if let Some(mut holding) = self.held.take() {
            holding.take(&mut ctx.shared.stats.held_bytes_now);
        }
    }
}
