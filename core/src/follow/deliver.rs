//! Rows to events: what is new, in which order, with which position.

use super::{Burst, Context, Follower, Memory, Repeats, repeats::identity};
use crate::{
    event::{Event, Origin},
    planted::planted,
    stream::{Order, Row, Rows, Token},
    time::Timestamp,
    timer::TimerKey,
};

impl Follower {
    /// Rows of a live source, as they came.
    pub(super) fn deliver_live(&mut self, ctx: &mut Context<'_>, token: Token, rows: Rows) {
        let position = self.position.unwrap_or(Token::START);
        match self.traits.order {
            Order::Rising if token > position || planted!(ctx.config, DeliversOldRows) => {
                let repeats = planted!(ctx.config, RepeatsSharedRows);
                if self.traits.shared_fetch
                    && !repeats
                    && !ctx.stream.shared_tokens.insert(token, ctx.config)
                {
                    ctx.shared.stats.rows_repeated += rows.len() as u64;
                    self.advance_to(ctx, token);
                } else {
                    ctx.shared.stats.rows_live += rows.len() as u64;
                    self.emit(ctx, token, rows, Origin::Live, token);
                }
            }
            Order::Rising if self.may_restart(ctx) => {
                // Late rows, or the first of a writer that started over: only it can tell.
                self.hold_rows(ctx, token, &rows);
                self.lose_footing(ctx);
            }
            Order::Rising => ctx.shared.stats.rows_repeated += rows.len() as u64,
            Order::Bursts
                if token > position
                    && !planted!(
                        ctx.config,
                        DropsFallingRows
                            if self.burst_highest().is_some_and(|highest| highest > token)
                    ) =>
            {
                self.deliver_burst(ctx, token, rows);
            }
            Order::Bursts => ctx.shared.stats.rows_repeated += rows.len() as u64,
            Order::UnclosedBursts => {
                // The rows of a batch are so many commands.
                let heard = ctx.shared.heard - (rows.len() as u64 - 1);
                let burst = self.burst();
                let highest = burst.highest();
                burst.sends.on_row(token, highest, heard, ctx.shared.heard);
                if token > burst.floor {
                    self.deliver_burst(ctx, token, rows);
                } else {
                    ctx.shared.stats.rows_repeated += rows.len() as u64;
                }
            }
            Order::Loose => {
                let moved = token.max(position);
                if let Some(rows) = self.without_repeats(ctx, token, rows) {
                    ctx.shared.stats.rows_live += rows.len() as u64;
                    self.emit(ctx, token, rows, Origin::Live, moved);
                } else if moved > position {
                    self.advance_to(ctx, moved);
                }
            }
        }
    }

    fn deliver_burst(&mut self, ctx: &mut Context<'_>, token: Token, rows: Rows) {
        let position = self.position.unwrap_or(Token::START);
        let moves = planted!(ctx.config, MovesPositionInsideBursts);
        let position = if moves { position.max(token) } else { position };
        let burst = self.burst();
        if burst.is_empty() {
            burst.continuous = true;
        }
        burst.last_at = ctx.now;
        let timer = TimerKey::BurstQuiet(ctx.me);
        if !ctx.shared.timers.is_set(timer) {
            ctx.shared.timers.set(timer, ctx.now + ctx.config.burst_quiet_after);
        }
        if let Some(rows) = self.new_of_burst(ctx, token, rows) {
            ctx.shared.stats.rows_live += rows.len() as u64;
            self.emit(ctx, token, rows, Origin::Live, position);
        }
        if self.burst().overflows(ctx.config, ctx.shared.kept_bytes) {
            // What is known to be whole need not be remembered.
            if let Some(ended) = self.burst().sends.ended().filter(|ended| *ended > position) {
                self.advance_to(ctx, ended);
            }
            if self.burst().overflows(ctx.config, ctx.shared.kept_bytes) {
                self.fetch_up_to(ctx, token);
            }
        }
    }

    /// The rows that were not delivered as part of the open burst.
    fn new_of_burst(&mut self, ctx: &mut Context<'_>, token: Token, rows: Rows) -> Option<Rows> {
        let rewritten = ctx.on_tcp();
        let burst = self.burst();
        retain(ctx, rows, |_, row| {
            if rewritten { burst.insert(token, &identity(row)) } else { burst.insert(token, row) }
        })
    }

    /// Rows of one token from a page. The position moves along with them.
    pub(super) fn deliver_fetched(
        &mut self,
        ctx: &mut Context<'_>,
        token: Token,
        rows: Rows,
        complete: Token,
    ) {
        let count = rows.len() as u64;
        let new = match self.traits.order {
            Order::Rising => {
                let known =
                    self.traits.shared_fetch && !ctx.stream.shared_tokens.insert(token, ctx.config);
                if known { None } else { Some(rows) }
            }
            Order::Bursts | Order::UnclosedBursts => self.new_of_burst(ctx, token, rows),
            Order::Loose => self.without_repeats(ctx, token, rows),
        };
        let Some(rows) = new else {
            if self.traits.order == Order::Rising {
                ctx.shared.stats.rows_repeated += count;
            }
            return;
        };
        ctx.shared.stats.rows_caught_up += rows.len() as u64;
        let position = self.position.unwrap_or(Token::START);
        self.emit(ctx, token, rows, Origin::CatchUp, position.max(token.min(complete)));
    }

    pub(super) fn without_repeats(
        &mut self,
        ctx: &mut Context<'_>,
        token: Token,
        rows: Rows,
    ) -> Option<Rows> {
        if !matches!(self.memory, Memory::Repeats(_)) {
            self.memory = Memory::Repeats(Box::<Repeats>::default());
        }
        let Memory::Repeats(repeats) = &mut self.memory else { return Some(rows) };
        let is_full = ctx.shared.kept_bytes > ctx.config.kept_bytes_total_max;
        retain(ctx, rows, |ctx, row| repeats.insert(token, row, ctx.config, is_full))
    }

    pub(super) fn burst(&mut self) -> &mut Burst {
        if !matches!(self.memory, Memory::Burst(_)) {
            self.memory = Memory::Burst(Box::<Burst>::default());
        }
        match &mut self.memory {
            Memory::Burst(burst) => burst,
            Memory::Nothing | Memory::Repeats(_) => unreachable!("set just above"),
        }
    }

    const fn open_burst(&self) -> Option<&Burst> {
        match &self.memory {
            Memory::Burst(burst) if !burst.is_empty() => Some(burst),
            Memory::Burst(_) | Memory::Nothing | Memory::Repeats(_) => None,
        }
    }

    /// How far an announcement may be taken to go on from: the position, or the top of a burst
    /// that was seen from its head on.
    pub(super) fn seen_up_to(&self, position: Token) -> Token {
        self.open_burst()
            .filter(|burst| burst.continuous)
            .and_then(Burst::highest)
            .map_or(position, |highest| highest.max(position))
    }

    /// Whether rows above `new` have come already, so that `new` does not close their burst.
    pub(super) fn burst_reaches_above(&self, new: Token) -> bool {
        self.open_burst().and_then(Burst::highest).is_some_and(|highest| highest > new)
    }

    /// The highest token of an open burst.
    pub(super) fn burst_highest(&self) -> Option<Token> {
        self.open_burst().and_then(Burst::highest)
    }

    /// Whether an announcement of `new` must be fetched though it says that no row is missing.
    pub(super) fn must_fetch(&self, new: Token) -> bool {
        let broken_burst = self.open_burst().is_some_and(|burst| !burst.continuous);
        (self.hole || broken_burst) && self.position.is_some_and(|position| position < new)
    }

    /// A burst may have fallen quiet: then what it lacks, if anything, is fetched, so that its
    /// rows come under the saved position. Of an unclosed one nothing can be missing.
    pub(crate) fn on_burst_quiet(&mut self, ctx: &mut Context<'_>) {
        let Some((highest, last_at)) =
            self.open_burst().and_then(|burst| Some((burst.highest()?, burst.last_at)))
        else {
            return;
        };
        let quiet_at = last_at + ctx.config.burst_quiet_after;
        if self.traits.order == Order::UnclosedBursts && self.is_live() && !self.hole {
            self.look_at_unclosed(ctx, highest, quiet_at);
        } else if quiet_at > ctx.now {
            ctx.shared.timers.set(TimerKey::BurstQuiet(ctx.me), quiet_at);
        } else if self.is_live() {
            self.fetch_up_to(ctx, highest);
        }
    }

    /// Moves the position of a live source up to where its sends are over.
    fn look_at_unclosed(&mut self, ctx: &mut Context<'_>, highest: Token, quiet_at: Timestamp) {
        let heard = ctx.shared.heard;
        let in_batch = self.batch.is_some();
        let burst = self.burst();
        let all = quiet_at <= ctx.now && burst.sends.is_over(heard) && !in_batch;
        let over = if all { Some(highest) } else { burst.sends.look() };
        if let Some(token) = over
            && self.position.is_none_or(|position| position < token)
        {
            self.advance_to(ctx, token);
        }
        if all {
            // Also rows that came late, below the position.
            self.burst().forget_upto(highest);
        } else {
            let later = ctx.now + ctx.config.burst_quiet_after;
            let next = if quiet_at > ctx.now { quiet_at } else { later };
            ctx.shared.timers.set(TimerKey::BurstQuiet(ctx.me), next);
        }
    }

    fn emit(
        &mut self,
        ctx: &mut Context<'_>,
        token: Token,
        rows: Rows,
        origin: Origin,
        position: Token,
    ) {
        if self.audit.is_some() {
            self.remember_for_audit(ctx, token, &rows, position);
        }
        let source = self.source.clone();
        ctx.notify(Event::Rows { source, token, rows, origin, position });
        self.set_position(ctx, position);
    }

    /// Moves the position without rows and says so.
    pub(super) fn advance_to(&mut self, ctx: &mut Context<'_>, token: Token) {
        let source = self.source.clone();
        ctx.notify(Event::Position { source, token });
        self.set_position(ctx, token);
    }

    pub(super) fn set_position(&mut self, ctx: &mut Context<'_>, position: Token) {
        if self.position != Some(position) {
            self.position = Some(position);
            if let Memory::Burst(burst) = &mut self.memory {
                burst.forget_upto(position);
            }
            ctx.end_waits(position);
        }
    }
}

/// The rows that `is_new` accepts, or none if it accepts none; the others count as repeated.
fn retain(
    ctx: &mut Context<'_>,
    rows: Rows,
    mut is_new: impl FnMut(&mut Context<'_>, &Row) -> bool,
) -> Option<Rows> {
    // Mostly all rows are new, and go on as they came.
    let mut kept: Option<Vec<Row>> = None;
    for (index, row) in rows.iter().enumerate() {
        if !is_new(ctx, row) {
            kept.get_or_insert_with(|| rows[..index].to_vec());
            ctx.shared.stats.rows_repeated += 1;
        } else if let Some(kept) = &mut kept {
            kept.push(row.clone());
        }
    }
    match kept {
        None => Some(rows),
        Some(kept) if kept.is_empty() => None,
        Some(kept) => Some(Rows::from(kept)),
    }
}
